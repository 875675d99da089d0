"""Worker processes: one runtime with one model each, told over a pipe what to do. The protocol is in ../README.md."""

import array
import json
import os
import signal
import subprocess
import tempfile


class WorkerError(Exception):
    """A runtime that can't load or run the model."""


class Worker:
    """A process that holds a loaded model. It is stopped except while it works, so that nothing of it (threads that
    spin, say) takes part in another's time."""

    def __init__(self, command, model, input_path, threads, cpus, log):
        self._log = log
        chosen = set(cpus[:threads])
        self._process = subprocess.Popen(
            [*command, str(model), str(input_path), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, chosen),
        )
        self.facts = self._read()
        self._stop()

    def run(self, count):
        """Milliseconds of each of so many runs."""
        return self._ask(f"run {count}")["ms"]

    def load(self, count):
        """Milliseconds of each of so many loads of the model."""
        return self._ask(f"load {count}")["ms"]

    def peak_rss(self):
        """Most bytes that the process has held."""
        return self._ask("memory")["peak_rss"]

    def profile(self, count):
        """Name and milliseconds of each step, over so many runs."""
        return self._ask(f"profile {count}")["steps"]

    def answer(self):
        """The first output of the last run."""
        with tempfile.NamedTemporaryFile() as file:
            self._ask(f"answer {file.name}")
            numbers = array.array("f")
            numbers.frombytes(file.read())
            return numbers

    def close(self):
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, line):
        os.kill(self._process.pid, signal.SIGCONT)
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            return self._read()
        except BrokenPipeError:
            raise WorkerError("ended") from None
        finally:
            self._stop()

    def _read(self):
        line = self._process.stdout.readline()
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            self._process.kill()
            status = self._process.wait()
            self._log.seek(0)
            said = self._log.read().strip().splitlines()
            raise WorkerError(said[-1] if said else f"ended with status {status}") from None

    def _stop(self):
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGSTOP)
