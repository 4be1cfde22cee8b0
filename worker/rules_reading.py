"""Rule files from disk to trees: folders, includes, encodings; each file is read once."""

from hashlib import sha256
from os.path import normpath
from pathlib import Path

from worker.routing.source import Diagnostic, Leaf, Listing, Mark, Node, SourceFile, Table
from worker.rules_yaml import parse_yaml

MAX_BYTES = 16 * 1024 * 1024
NAME_ANOTHER = "name a file or folder that is there, or set PAYMENT_WORKER_RULES"
TEST_SUFFIX = ".test.yaml"
"""Rules tests stand beside the rules and are none."""
RULES_ONLY = frozenset({"processors", "default"})
"""What a rule file has and a file of rules tests has not."""


def _plain(path: Path) -> Path:
    """Return a path without ``..`` where that names the same file, so that messages have one name for it."""
    plain = Path(normpath(path))
    return plain if plain.exists() and path.exists() and plain.samefile(path) else path


class Reading:
    """Reads files, each once, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.trees: list[Table] = []
        self.problems: list[Diagnostic] = []
        self.digests: dict[Path, bytes] = {}

    @property
    def version(self) -> str:
        """16 hexadecimal digits that name the content of all files read, in their order."""
        return sha256(b"".join(self.digests.values())).hexdigest()[:16]

    def _complain(self, path: Path, message: str) -> None:
        self.problems.append(Diagnostic(Mark(SourceFile(str(path), ()), 0, 0), message))

    def read_path(self, path: Path) -> None:
        """Read a file with what it includes, or a folder's ``*.yaml`` in name order."""
        if not path.is_dir():
            self._collect(path)
            return
        files = sorted(file for file in path.glob("*.yaml") if not file.name.endswith(TEST_SUFFIX))
        if not files:
            self._complain(path, "the folder has no *.yaml in it")
        for file in files:
            self._collect(file)

    def _collect(self, path: Path) -> None:
        if path.resolve() in self.digests:
            return
        tree = self.read_file(path, NAME_ANOTHER)
        if tree is None or self._tests(tree, path):
            return
        for included in self._includes(tree, path):
            self._collect(included)
        self.trees.append(tree)

    def _tests(self, tree: Table, path: Path) -> bool:
        """Say so when a file holds rules tests where rules are read."""
        if "tests" not in tree.entries or RULES_ONLY & tree.entries.keys():
            return False
        message = f"this is a rules test file; run it with `payment-worker rules test {path}`"
        self.problems.append(Diagnostic(tree.entries["tests"].key, message))
        return True

    def _includes(self, tree: Table, path: Path) -> list[Path]:
        found = []
        for key, entry in (*tree.entries.items(), *tree.repeated):
            if key == "include":
                found += self._included(entry.node, path)
        return found

    def _included(self, node: Node, path: Path) -> list[Path]:
        found = []
        for item in node.items if isinstance(node, Listing) else (node,):
            if isinstance(item, Leaf) and isinstance(item.value, str) and isinstance(node, Listing):
                target = _plain(path.parent / item.value)
                if target.is_file():
                    found.append(target)
                else:
                    self.problems.append(Diagnostic(item.mark, f"there is no file {target} to include"))
            else:
                self.problems.append(Diagnostic(item.mark, "`include` is a list of file names"))
        return found

    def read_file(self, path: Path, instead: str = "name a file that is there") -> Table | None:
        """Return the file's tree, or None after collecting why not, with what to do ``instead``."""
        try:
            content = path.read_bytes()
        except OSError as error:
            self._complain(path, f"cannot be read: {error.strerror}; {instead}")
            return None
        self.digests[path.resolve()] = sha256(content).digest()
        text = self._decode(content, path)
        return None if text is None else parse_yaml(text, str(path), self.problems)

    def _decode(self, content: bytes, path: Path) -> str | None:
        if len(content) > MAX_BYTES:
            self._complain(path, f"{len(content)} bytes are more than a rule file may have, {MAX_BYTES}")
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start].decode("utf-8-sig")
            source = SourceFile(str(path), tuple(content.decode(errors="replace").splitlines()))
            mark = Mark(source, before.count("\n"), len(before) - before.rfind("\n") - 1)
            message = f"not UTF-8: {error.reason} {content[error.start]:#04x}; save the file as UTF-8"
            self.problems.append(Diagnostic(mark, message))
            return None
