"""Check how the modules of djsession import each other: ``python tests/lint/imports.py``.

Two rules:

- No module imports itself through others.
- No core module imports a framework, neither itself nor through others.

An import inside a function counts like any other. An import under ``if TYPE_CHECKING`` does not
count, because it never runs. Neither does the import of a parent package, which Python performs
whenever it imports a module inside that package.
"""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import grimp

PACKAGE = "djsession"
FRAMEWORKS = ["django", "fastapi", "flask", "pyramid", "starlette", "webob", "werkzeug", "yaml"]

#: Everything directly in the package that is not named here belongs to the core.
OUTER = {
    "__main__",
    "cli",
    "commands",
    "devserver",
    "django",
    "doctor",
    "fastapi",
    "flask",
    "mockup",
    "pyramid",
    "serve",
    "testing",
}


def cycles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Return import cycles, each starting and ending with the same module.

    When two cycles share an import, only one of them may be returned.
    """
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    found = []
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            # It lists each module after one that it imports.
            cycle = error.args[1][::-1]
            for importer, imported in pairwise(cycle):
                imports[importer] = imports[importer] - {imported}
            found.append(cycle)
        else:
            return found


def framework_imports(graph: grimp.ImportGraph) -> list[list[str]]:
    """Return for each core module the shortest way in which it imports each framework."""
    core = {PACKAGE} | {
        module
        for module in graph.find_children(PACKAGE)
        if module.removeprefix(f"{PACKAGE}.") not in OUTER
    }
    chains = [
        graph.find_shortest_chain(importer=module, imported=framework)
        for module in sorted(core)
        for framework in FRAMEWORKS
        if framework in graph.modules
    ]
    return [list(chain) for chain in chains if chain]


def show(graph: grimp.ImportGraph, chain: list[str]) -> None:
    for importer, imported in pairwise(chain):
        details = graph.get_import_details(importer=importer, imported=imported)
        lines = ", ".join(str(detail["line_number"]) for detail in details)
        print(f"  {importer} imports {imported} (line {lines})")


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    graph = grimp.build_graph(
        PACKAGE,
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    rings, chains = cycles(graph), framework_imports(graph)
    for title, found in (("Import cycle", rings), ("Framework in the core", chains)):
        for chain in found:
            print(f"{title}:")
            show(graph, chain)
    print(f"{len(rings)} import cycles, {len(chains)} imports of a framework by the core")
    return 1 if rings or chains else 0


if __name__ == "__main__":
    sys.exit(main())
