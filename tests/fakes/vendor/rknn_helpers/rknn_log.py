import sys


class Log:
    def _say(self, kind, text):
        print(f"{kind} {text}", file=sys.stderr)

    def d(self, text):
        """Shown on request only."""

    def w(self, text):
        self._say("W", text)

    def p(self, text):
        self._say("", text)

    def e(self, text, raising=True):
        self._say("E", text)
        if raising:
            raise Exception(text)  # noqa: TRY002 - as its callers expect


def set_log_level_and_file_path(verbose, verbose_file):
    return Log()
