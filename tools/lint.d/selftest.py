"""Proves that tools/lint notices each kind of violation: writes a small clean tree, checks that it
passes, then breaks one thing at a time. Run by `tools/lint --selftest`."""
import os
import shutil
import subprocess
import sys
import tempfile

LINT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lint")


def body(line_count):
    """A function f of that many lines, braces and signature included."""
    return "int f(void)\n{\n" + "    (void)0;\n" * (line_count - 4) + "    return 0;\n}\n"


CLEAN = {
    "src/FLOORS": "# lowest first\nbase\nvfs\ndb\n",
    "src/base/alloc.c": '#include <stdlib.h>\n#include "base/alloc.h"\n'
                        "void *ns__get(size_t n)\n{\n    return malloc(n);\n}\n",
    "src/base/alloc.h": "/* malloc(1) and printf() in a comment are prose. */\n#ifndef A\n"
                        "#define A\n#include <stddef.h>\n#if defined(X)\n#endif\n"
                        "void *ns__get(size_t n);\n#endif\n",
    "src/base/atomic.h": "#include <stdatomic.h>\n",
    "src/base/assert.c": "void ns__die(void)\n{\n    abort();\n}\n",
    "src/vfs/posix.c": "#include <errno.h>\nint ns__why(void)\n{\n    return errno;\n}\n",
    "src/db/api.c": '#include "base/alloc.h"\n#include <northstar.h>\n'
                    "int ns_one(void)\n{\n    vtable->free(vtable.malloc(1));\n"
                    '    ns__arena_free("abort() exit() \\" printf()");\n    return 1;\n}\n',
    "src/db/api.h": "#ifndef B\n#define B\nstruct ns__table {\n" + "    int a;\n" * 80 + "};\n"
                    "static const int squares[] = {\n" + "    1,\n" * 80 + "};\n#endif\n",
    "include/northstar.h": "#ifndef N\n#define N\n#define NS_API\n#ifdef __cplusplus\n"
                           'extern "C" {\n#endif\nNS_API int ns_one(void);\n'
                           "#ifdef __cplusplus\n}\n#endif\n#endif\n",
    "tests/unit/db_api_test.c": "/* DB-1 */\n" + body(70),
    "spec/db.md": "**DB-1** One is one.\n| " + "a table row may be long " * 6 + "|\n",
}

# What is broken, the rule that must say so, and the files that break it.
BROKEN = [
    ("a new top-level directory", "top-level", {"docs/a.md": "text\n"}),
    ("a long line", "columns", {"src/db/a.c": "/* " + "x" * 100 + " */\n"}),
    ("a long line of prose", "columns", {"spec/a.md": "word " * 30 + "end\n"}),
    ("a letter outside ASCII", "ascii", {"src/db/a.c": "/* na\u00efve */\n"}),
    ("a tab", "tab", {"src/db/a.c": "int\tx;\n"}),
    ("a trailing space", "trailing-space", {"src/db/a.c": "int x; \n"}),
    ("a leftover", "leftover", {"src/db/a.c": "/* FIX" "ME later */\n"}),
    ("a leftover in a script", "leftover", {"tools/a": "#!/bin/sh\n# TO" "DO: all\n"}),
    ("a file past its limit", "file-length", {"src/db/a.c": "int x;\n" * 1201}),
    ("an include upward", "floors", {"src/base/a.c": '#include "db/api.h"\n'}),
    ("a folder that is no floor", "floors", {"src/attic/a.c": "int x;\n"}),
    ("an include of a sibling", "include-root", {"src/db/a.c": '#include "api.h"\n'}),
    ("an include by ..", "include-root", {"tests/unit/a_test.c": '#include "../a.h"\n'}),
    ("an include of nothing", "include-root", {"src/db/a.c": '#include "base/gone.h"\n'}),
    ("a private include in public", "include-public",
     {"include/northstar/a.h": '#include "base/alloc.h"\n'}),
    ("conditional code upstairs", "conditional",
     {"src/db/a.h": "#ifndef C\n#define C\n#ifdef __linux__\n#endif\n#endif\n"}),
    ("an allocation", "alloc", {"src/db/a.c": "void *p = malloc (1);\n"}),
    ("a free", "alloc", {"src/base/a.c": "#define DROP(p) free(p)\n"}),
    ("an atomic builtin", "atomic", {"src/db/a.c": "int x = __atomic_load_n(&y, 5);\n"}),
    ("a C11 atomic", "atomic", {"src/base/a.c": "static _Atomic int x;\n"}),
    ("errno", "errno", {"src/db/a.c": "int x = errno;\n"}),
    ("abort", "exit", {"src/db/a.c": "void f(void) { abort(); }\n"}),
    ("exit", "exit", {"src/vfs/a.c": "void f(void) { exit(1); }\n"}),
    ("printf", "print", {"src/db/a.c": 'void f(void) { printf("x"); }\n'}),
    ("a test that is never built", "dead-test", {"tests/unit/db_api.c": "int x;\n"}),
    ("a long function", "function-length", {"src/db/a.c": body(71)}),
    ("a long function after a table", "function-length",
     {"tools/a.c": "int t[] = {1};\n#define M(x) \\\n    { x\n" + body(71)}),
    ("a long function in extern C", "function-length",
     {"bench/a.h": 'extern "C" {\nstatic inline ' + body(71) + "}\n"}),
    ("a listed function that grew", "function-length",
     {"hard/a.c": body(75), "tools/lint.d/long_functions": "hard/a.c:f:74:a story\n"}),
    ("a listed function that shrank", "function-list",
     {"hard/a.c": body(73), "tools/lint.d/long_functions": "hard/a.c:f:74:a story\n"}),
    ("a listed function that is short", "function-list",
     {"hard/a.c": body(70), "tools/lint.d/long_functions": "hard/a.c:f:74:a story\n"}),
    ("a listed function that is gone", "function-list",
     {"tools/lint.d/long_functions": "hard/a.c:f:74:a story\n"}),
    ("an entry without a reason", "function-list",
     {"hard/a.c": body(70), "tools/lint.d/long_functions": "hard/a.c:f:74:\n"}),
    ("a header that needs another", "header-alone",
     {"include/northstar/a.h": "#ifndef A\n#define A\nsize_t a(void);\n#endif\n"}),
    ("a header without a guard", "header-alone",
     {"include/northstar/a.h": "struct a { int x; };\n"}),
    ("a header that is no C++", "header-alone",
     {"include/northstar/a.h": "#ifndef A\n#define A\nint a(int new);\n#endif\n"}),
]

# Archives: the C file they are made of, and what must be said about it.
ARCHIVES = [
    ("a good archive", "int ns_one(void) { return 1; } int ns__x(void) { return 1; }", None),
    ("a global without prefix", "int ns_one(void) { return 1; } int helper;", "helper is global"),
    ("an undeclared public name", "int ns_one(void) { return 1; } int ns_two;", "ns_two looks"),
    ("a declared function that is missing", "int ns__x;", "declarations: ns_one\n"),
]


def write(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


def lint(files, *options, source=None):
    """Exit code and output of tools/lint over the clean tree plus files."""
    with tempfile.TemporaryDirectory() as root:
        write(root, {**CLEAN, **files})
        if source:
            write(root, {"build/a.c": source})
            build = os.path.join(root, "build")
            subprocess.run(["cc", "-c", "a.c"], cwd=build, check=True)
            subprocess.run(["ar", "rc", "a.a", "a.o"], cwd=build, check=True)
            options += ("--lib", os.path.join(build, "a.a"))
        done = subprocess.run([sys.executable, LINT, "--root", root, *options],
                              capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


def main():
    failures = 0

    def expect(what, is_as_expected, output):
        nonlocal failures
        if not is_as_expected:
            failures += 1
            print(f"selftest: {what}: not handled as it should be:\n{output}")

    code, output = lint({})
    expect("a clean tree", code == 0 and " 0 findings" in output, output)
    for what, rule, files in BROKEN:
        code, output = lint(files)
        expect(what, code == 1 and f": {rule}: " in output, output)
    for what, source, complaint in ARCHIVES:
        code, output = lint({}, source=source)
        expect(what, (code == 1 and complaint in output) if complaint else code == 0, output)
    code, output = lint({}, "--lib", "missing.a")
    expect("an archive that is not there", code == 1 and ": symbols: " in output, output)

    code, output = lint({"spec/a.md": "**DB-2** Two.\n**DB-1** Again.\n",
                         "src/db/a.c": "/* DB-9 */\n"}, "--ids")
    for wanted in ("DB-2 is cited by no test", "DB-1 is defined already", "DB-9 is cited but",
                   "2 requirement ids, 1 cited"):
        expect("ids: " + wanted, code == 0 and wanted in output, output)

    count = 2 + len(BROKEN) + len(ARCHIVES) + 4
    if shutil.which("clang-format"):
        count += 1
        code, output = lint({"src/db/a.c": "int   x;\n"}, "--format")
        expect("formatting", code == 1 and ": format: " in output, output)
    print(f"lint selftest: {count - failures} of {count} as expected")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
