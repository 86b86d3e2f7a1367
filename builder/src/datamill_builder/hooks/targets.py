"""From a hook's settings to what tells it."""

from __future__ import annotations

from datamill.hook_settings import HookSettings
from datamill.settings import Settings
from datamill_builder.hooks.command import Command
from datamill_builder.hooks.message import Target
from datamill_builder.hooks.webhook import Webhook


def target_of(hook: HookSettings, settings: Settings) -> Target:
    """Return where a hook leads; commands run in the home."""
    return Webhook(hook) if hook.url is not None else Command(hook, settings.home)
