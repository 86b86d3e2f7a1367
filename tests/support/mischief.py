"""The toy handler, with source items that do what a handler may do at its worst.

Beside the toy's own words: `interrupt`, `exit`, `leave N`, `shout N` (an exception of N bytes),
`loop`, `eat` (memory without end), `cgroup FOLDER` (eats as a member of it), `fork FILE` (a child
that holds everything open; its id goes into the file), `escape FILE` (the same, in a session of its
own), `once WORD …` (only at the first time, per prefix).
"""

from __future__ import annotations

from tests.support.toy import SOURCE as TOY

SOURCE = (
    TOY
    + """
import hashlib, pathlib, signal, subprocess, sys

class Toy(Toy):
    def write_shard(self, items, path, content_key, progress=None):
        for item in items:
            _, word, *rest = item["key"].split(" ")
            self.make(word, rest, item["key"])
        return super().write_shard(items, path, content_key, progress)

    def make(self, word, rest, key):
        mischief = getattr(self, "make_" + word, None)
        if mischief:
            print("doing", word)
            mischief(*rest)

    def make_once(self, word, *rest):
        name = hashlib.sha256(" ".join((self.config["prefix"], word, *rest)).encode()).hexdigest()
        done = pathlib.Path(self.base).parent / (".once-" + name)  # not among the raw data
        if not done.exists():
            done.touch()
            self.make(word, rest, "")

    def make_wait(self, secs): time.sleep(float(secs))
    def make_interrupt(self): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)
    def make_exit(self): sys.exit("leaving")
    def make_leave(self, code): os._exit(int(code))
    def make_shout(self, size): raise RuntimeError("first line\\n" + "x" * int(size))

    def make_loop(self):
        while True:
            pass

    def make_eat(self):
        eaten = []
        while True:
            eaten.append(b"x" * 1024 * 1024)

    def make_cgroup(self, folder):
        pathlib.Path(folder, "cgroup.procs").write_text(str(os.getpid()))
        self.make_eat()

    def make_fork(self, file, own_session=False):
        child = subprocess.Popen(["sleep", "600"], start_new_session=own_session, close_fds=False)
        pathlib.Path(file).write_text(str(child.pid))
        os._exit(7)

    def make_escape(self, file): self.make_fork(file, True)
"""
)
