"""relink.py: a program of the build with one file of the library changed, in a second or two.

The changed file is compiled with its own command from compile_commands.json; the program's link
command gets that object in front of the library, so that the archive's member of the same name is
not taken. For seeded bugs (hard/mutants) and seeded slowdowns (bench/gate)."""
import json
import pathlib
import re
import shlex
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = re.compile(r"^\+\+\+ b/(src/\S+\.c)$", re.MULTILINE)


class Broken(Exception):
    """A step failed: args are (what went wrong, the first line of what the tool said)."""


def first_line(text):
    """Of what a tool said: the first error, or the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ([line for line in lines if "error" in line] + lines + [""])[0]


def check(arguments, cwd, problem):
    """Runs a tool and returns its output; raises Broken with the problem if it fails."""
    done = subprocess.run([str(a) for a in arguments], cwd=cwd, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Broken(problem, first_line(done.stdout))
    return done.stdout


def source_of(patch):
    """The one file of src/ that a patch changes."""
    targets = TARGET.findall(patch)
    if len(targets) != 1:
        raise Broken("not a patch of one file of src/", ", ".join(targets))
    return targets[0]


class Relinker:
    """build: a configured build directory in which the programs have been built."""

    def __init__(self, build):
        self.build = pathlib.Path(build)
        commands = json.loads((self.build / "compile_commands.json").read_text())
        self.compile = {c["file"]: shlex.split(c["command"]) for c in commands
                        if "northstar_objects" in c["command"]}
        self.links = {}

    def link_command(self, program):
        if program not in self.links:
            output = check(["ninja", "-t", "commands", program], self.build, "does not build")
            text = output.strip().splitlines()[-1]
            self.links[program] = shlex.split(text.removeprefix(": &&").removesuffix("&& :"))
        return list(self.links[program])

    def compile_file(self, place, source, patch):
        """src/... with the patch (None: as it is), in the directory place: place/object.o."""
        file = place / source
        file.parent.mkdir(parents=True)
        shutil.copyfile(ROOT / source, file)
        if patch is not None:
            (place / "patch").write_text(patch)
            check(["env", f"GIT_CEILING_DIRECTORIES={place.parent}", "git", "apply",
                   "--whitespace=nowarn", "patch"], place, "does not apply")
        words = list(self.compile[str(ROOT / source)])
        words[words.index("-c") + 1] = str(file)
        words[words.index("-o") + 1] = str(place / "object.o")
        check(words, self.build, "does not compile")

    def link(self, place, program):
        """place/PROGRAM, with place/object.o in front of the library; returns its path."""
        words = self.link_command(program)
        words[words.index("-o") + 1] = str(place / program)
        first = next(i for i, word in enumerate(words) if word.endswith(".a"))
        words.insert(first, str(place / "object.o"))
        check(words, self.build, "does not link")
        return place / program
