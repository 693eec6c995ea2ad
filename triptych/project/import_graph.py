"""Which modules of this program a module imports, read from the source, not by importing."""

import ast
from collections.abc import Mapping
from pathlib import Path


class ImportGraph:
    """The imports between the modules of some packages, directly or not."""

    def __init__(self, packages: Mapping[str, Path]) -> None:
        """Take folders by dotted name; of two names that fit a module, the longer one is meant."""
        self._packages = dict(sorted(packages.items(), key=lambda one: -len(one[0])))
        self._imports: dict[str, list[str]] = {}

    def modules_of(self, module: str) -> dict[str, Path]:
        """Return a module and all that it imports: file by dotted name. ``__init__`` files hold no code of a stage.

        Raise FileNotFoundError where there is no such module.
        """
        if self._file(module) is None:
            raise FileNotFoundError(f"no module {module} in {', '.join(map(str, self._packages.values()))}")
        seen: dict[str, Path] = {}
        pending = [module]
        while pending:
            name = pending.pop()
            file = self._file(name)
            if file is None or name in seen or file.name == "__init__.py":
                continue
            seen[name] = file
            pending += self._imported(name, file)
        return dict(sorted(seen.items()))

    def _imported(self, module: str, file: Path) -> list[str]:
        if module not in self._imports:
            names = list[str]()
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    parent = module.split(".")[: -node.level] if node.level else []
                    source = ".".join([*parent, *([node.module] if node.module else [])])
                    names += [source, *(f"{source}.{alias.name}" for alias in node.names)]
            self._imports[module] = names
        return self._imports[module]

    def _file(self, module: str) -> Path | None:
        for package, folder in self._packages.items():
            if module == package or module.startswith(f"{package}."):
                path = folder.joinpath(*module[len(package) :].split(".")[1:])
                found = (path.with_suffix(".py"), path / "__init__.py")
                return next((one for one in found if one.exists()), None)
        return None
