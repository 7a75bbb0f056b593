"""Shell completion: what may stand in the place of an unfinished word, and the scripts that ask.

What always holds: groups are loaded only when the line has come to one; where nothing of ours fits the shell completes
names of files; a line that makes no sense completes to nothing and is never an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdgate.scheduler.cli import tree
from holdgate.scheduler.cli.tree import Command, Parameter

BASH = """\
_holdgate() {
    local IFS=$'\\n'
    COMPREPLY=($("$1" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _holdgate holdgate
"""
ZSH = """\
#compdef holdgate
_holdgate() {
    local -a found
    found=(${(f)"$("${words[1]}" --complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then compadd -- "${found[@]}"; else _files; fi
}
if [[ ${funcstack[1]} == _holdgate ]]; then _holdgate "$@"; else compdef _holdgate holdgate; fi
"""
FISH = """\
function __holdgate_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] --complete $words[2..-1] "$current" 2>/dev/null
end
complete -c holdgate -n '__holdgate_complete | string length -q' -f -a '(__holdgate_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def candidates(words: Sequence[str]) -> list[str]:
    """What may stand in the place of the last of `words`, sorted; the words before it are taken as they are."""
    *before, current = words or [""]
    command, waits_for, arguments = _place(before)
    return sorted(word for word in _words(command, waits_for, arguments, current) if word.startswith(current))


def _place(before: Sequence[str]) -> tuple[Command, Parameter | None, int]:
    """The command that the words lead to, the option that waits for a value, and how many arguments stand there."""
    command, waits_for, arguments = tree.root(), None, 0
    for number, word in enumerate(before):
        if waits_for is not None:
            waits_for = None
        elif word.startswith("-"):
            option = next((item for item in command.parameters if word in item.flags), None)
            waits_for = option if option is not None and option.takes_value else None
        elif number == 0 and tree.is_group(word):
            command = tree.group(word)
        elif word in command.commands:
            command = command.below(word)
        else:
            arguments += 1
    return command, waits_for, arguments


def _words(command: Command, waits_for: Parameter | None, arguments: int, current: str) -> list[str]:
    if waits_for is not None:
        return list(waits_for.choices)
    if current.startswith("-"):
        flags = [flag for item in command.parameters for flag in item.flags if flag.startswith("--")]
        return sorted({*flags, "--help"})
    if command.commands:
        return list(command.commands)
    named = [item for item in command.parameters if not item.flags]
    return list(named[arguments].choices) if arguments < len(named) else []
