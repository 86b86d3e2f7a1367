"""The SDK, part by part."""
