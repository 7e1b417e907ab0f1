"""The kernel's command line (Documentation/admin-guide/kernel-parameters.rst): its words, and what some of them ask."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from numaplan.cpuset import CpuSet, parse_id_list
from numaplan.inventory.attribute import excerpt, read_attribute
from numaplan.model.kernel import Isolcpus, Parameter
from numaplan.sources.tree import HostTree

_COMMAND_LINE: Final = "proc/cmdline"
# The longest COMMAND_LINE_SIZE is 4096, and a bootconfig adds 32 KiB at most.
_MOST_WORDS: Final = 4096
_LONGEST_WORD: Final = 4096
# Those of isspace() in lib/ctype.c that are ASCII.
_BLANKS: Final = frozenset(" \t\n\v\f\r")

_ISOLATION_FLAGS: Final = frozenset({"nohz", "domain", "managed_irq"})
_FLAG = re.compile(r"[A-Za-z_]+", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,12})([KMGTkmgt]?)", re.ASCII)
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SWITCHES: Final = {
    **dict.fromkeys(("1", "y", "Y", "t", "T", "on", "ON", "On"), True),
    **dict.fromkeys(("0", "n", "N", "f", "F", "off", "OFF", "Off"), False),
}


def read_parameters(tree: HostTree) -> tuple[Parameter, ...]:
    """All words of /proc/cmdline up to "--", behind which those of init stand, in their order.

    A word that cannot be printed is left out, with a gap.
    """
    parameters = read_attribute(tree, _COMMAND_LINE, parse_parameters, expected=True) or ()
    kept = []
    for parameter in parameters:
        word = f"{parameter.name}={parameter.value or ''}"
        if word.isprintable() and len(word) <= _LONGEST_WORD:
            kept.append(parameter)
        else:
            tree.note(_COMMAND_LINE, f"a word that is no text is left out: {excerpt(word)}")
    return tuple(kept)


def parse_parameters(text: str) -> tuple[Parameter, ...]:
    """The words of a command line; raises ValueError for an empty file, and for more words than any kernel takes.

    As next_arg() in lib/cmdline.c splits them: blanks within quotes do not end a word, quotes around a value or around
    the whole word are dropped, and a "=" that opens a word is a part of its name.
    """
    if not text:
        raise ValueError("empty file")
    parameters = []
    for word in _split(text):
        parameter = _parse_word(word)
        if parameter == Parameter("--"):
            break
        parameters.append(parameter)
        if len(parameters) > _MOST_WORDS:
            raise ValueError(f"more than {_MOST_WORDS} words")
    return tuple(parameters)


def values_of(parameters: Iterable[Parameter], name: str) -> tuple[str, ...]:
    """Every value that is given to a parameter, in order; hyphens and underscores are one to the kernel."""
    wanted = name.replace("-", "_")
    return tuple(
        parameter.value
        for parameter in parameters
        if parameter.value is not None and parameter.name.replace("-", "_") == wanted
    )


def parse_boot_cpus(text: str, *, last: int) -> CpuSet:
    """A list of CPUs on the command line ("cpu lists" of the document): "all", and "N" for the last CPU.

    Raises ValueError for an empty list and one that is none.
    """
    if not text or len(text) > _LONGEST_WORD:
        raise ValueError("no CPU list")
    if text.lower() == "all":
        return CpuSet(range(last + 1))
    return CpuSet(parse_id_list(re.sub(r"\bN\b", str(last), text)))


def parse_isolcpus(value: str, *, last: int) -> Isolcpus:
    """One ``isolcpus=``; raises ValueError where the kernel refuses it, and for an empty list.

    As housekeeping_isolcpus_setup() in kernel/sched/isolation.c: words before the first one that opens with no letter
    are flags, and unknown flags are passed over. So neither "all" nor a list that opens with "N" names any CPU here.
    """
    words = value.split(",")
    flags: list[str] = []
    while words and words[0][:1].isalpha():
        flag = words.pop(0)
        if _FLAG.fullmatch(flag) is None:
            raise ValueError(f"no flag of isolcpus: {excerpt(flag)}")
        if flag in _ISOLATION_FLAGS and flag not in flags:
            flags.append(flag)
    return Isolcpus(tuple(flags) or ("domain",), parse_boot_cpus(",".join(words), last=last))


def read_isolcpus(tree: HostTree, parameters: Iterable[Parameter], *, last: int) -> Isolcpus | None:
    """What all ``isolcpus=`` ask for together: flags of one set of CPUs add up; another set is refused, with a gap."""
    asked: Isolcpus | None = None
    for value in values_of(parameters, "isolcpus"):
        try:
            isolcpus = parse_isolcpus(value, last=last)
        except ValueError as error:
            tree.note(_COMMAND_LINE, f"isolcpus={value}: {error}")
            continue
        if asked is None:
            asked = isolcpus
        elif asked.cpus == isolcpus.cpus:
            asked = Isolcpus(tuple(dict.fromkeys((*asked.flags, *isolcpus.flags))), asked.cpus)
        else:
            tree.note(_COMMAND_LINE, f"isolcpus={value}: other CPUs than those of the first isolcpus={asked.cpus}")
    return asked


def read_boot_cpus(tree: HostTree, parameters: Iterable[Parameter], name: str, *, last: int) -> CpuSet | None:
    """The CPUs of the last ``name=``, which replaces those before it; None where there is none, or it is no list."""
    values = values_of(parameters, name)
    if not values:
        return None
    try:
        return parse_boot_cpus(values[-1], last=last)
    except ValueError as error:
        tree.note(_COMMAND_LINE, f"{name}={values[-1]}: {error}")
        return None


def parse_page_size_kib(text: str) -> int:
    """A size as ``default_hugepagesz=`` takes it ("2M", "1G"), in KiB; raises ValueError."""
    match = _SIZE.fullmatch(text)
    size_kib = 0 if match is None else (int(match[1]) << _UNITS[match[2].upper()]) >> 10
    if size_kib == 0:
        raise ValueError("no page size")
    return size_kib


def parse_passthrough(parameters: Iterable[Parameter]) -> bool | None:
    """Whether the host's own devices shall go untranslated; the last word on it counts, None where there is none.

    ``iommu=pt`` and ``iommu=nopt`` are those of x86, ``iommu.passthrough=`` is everybody's.
    """
    asked: bool | None = None
    for parameter in parameters:
        match parameter:
            case Parameter(name="iommu", value=str(value)):
                for word in value.split(","):
                    asked = {"pt": True, "nopt": False}.get(word, asked)
            case Parameter(name="iommu.passthrough", value=str(value)):
                asked = _SWITCHES.get(value, asked)
    return asked


def _split(text: str) -> Iterator[str]:
    start: int | None = None
    quoted = False
    for i, character in enumerate(text):
        if character in _BLANKS and not quoted:
            if start is not None:
                yield text[start:i]
            start = None
            continue
        if start is None:
            start = i
        if character == '"':
            quoted = not quoted
    if start is not None:
        yield text[start:]


def _parse_word(word: str) -> Parameter:
    whole = word.startswith('"')
    inner = word[1:] if whole else word
    equals = inner.find("=", 1)
    name, value = (inner, None) if equals < 0 else (inner[:equals], inner[equals + 1 :])
    if value is not None and value.startswith('"'):
        # One quote may be both ends: next_arg() looks at the last character of the word.
        value = value[1:-1] if len(value) > 1 and value.endswith('"') else value[1:]
    if whole and value is None:
        name = name.removesuffix('"')
    elif whole and value is not None:
        value = value.removesuffix('"')
    return Parameter(name, value)
