"""A small assembler for classic BPF, the language of socket filters (Documentation/networking/filter.rst).

A filter has one accumulator, one index register X, and reads the packet it is shown. It cannot loop: jumps go
forward only, and a load past the end of the packet ends the filter with 0, which drops the packet. The text is
one instruction a line, `label:` before it where wanted, and `;` begins a remark:

    byte K, half K, word K      load from offset K of the packet
    xbyte K, xhalf K            load from offset X + K
    meta NAME                   load what the kernel knows beside the packet: proto, pkttype, hatype
    x K, xheader K, tax         X = K; X = four times the low half of byte K; X = accumulator
    addx, and K, right K        accumulator plus X; and K; shifted right by K
    ifeq K L, ifset K L         jump to L when the accumulator equals K, or has any bit of K; else go on
    ifne K L                    jump to L when it does not equal K
    ifsame L                    jump to L when the accumulator equals X
    pass N, drop                let the first N bytes of the packet through, or nothing

A jump spans at most 255 instructions, a program at most 4096 (BPF_MAXINSNS).
"""

import struct
from typing import Final

from msgspec import Struct

_METADATA_BASE: Final = 0x1_0000_0000 - 0x1000  # SKF_AD_OFF
_METADATA: Final = {"proto": 0, "pkttype": 4, "hatype": 28}  # SKF_AD_PROTOCOL, _PKTTYPE, _HATYPE
_PLAIN: Final = {
    "word": 0x20,  # BPF_LD | BPF_W | BPF_ABS
    "half": 0x28,
    "byte": 0x30,
    "xhalf": 0x48,  # BPF_LD | BPF_H | BPF_IND
    "xbyte": 0x50,
    "x": 0x01,  # BPF_LDX | BPF_IMM
    "xheader": 0xB1,  # BPF_LDX | BPF_B | BPF_MSH
    "and": 0x54,  # BPF_ALU | BPF_AND | BPF_K
    "right": 0x74,  # BPF_ALU | BPF_RSH | BPF_K
    "pass": 0x06,  # BPF_RET | BPF_K
}
_BARE: Final = {"tax": 0x07, "addx": 0x0C, "drop": 0x06}
_SAME: Final = "ifsame"
_JUMPS: Final = {"ifeq": 0x15, "ifne": 0x15, "ifset": 0x45, _SAME: 0x1D}
_MAX_JUMP: Final = 255
_MAX_INSTRUCTIONS: Final = 4096


class Instruction(Struct, frozen=True, gc=False):
    """One line of a program: `target` is the label a jump goes to, empty elsewhere."""

    word: str
    number: int = 0
    target: str = ""


def assemble(text: str) -> bytes:
    """The `struct sock_filter` array of a program. Raises ValueError, naming the line that is wrong."""
    lines, labels = _read(text)
    if len(lines) > _MAX_INSTRUCTIONS:
        raise ValueError(f"program has {len(lines)} instructions, {_MAX_INSTRUCTIONS} are allowed")
    return b"".join(_encode(line, index, labels) for index, line in enumerate(lines))


def _read(text: str) -> tuple[list[Instruction], dict[str, int]]:
    lines: list[Instruction] = []
    labels: dict[str, int] = {}
    for row, raw in enumerate(text.splitlines(), 1):
        words = raw.partition(";")[0].split()
        if words and words[0].endswith(":"):
            label = words.pop(0)[:-1]
            if label in labels:
                raise ValueError(f"line {row}: label {label} stands twice")
            labels[label] = len(lines)
        if words:
            lines.append(_instruction(words, row))
    return lines, labels


def _instruction(words: list[str], row: int) -> Instruction:
    word, operands = words[0], words[1:]
    try:
        if word == _SAME:
            (target,) = operands
            return Instruction(word, 0, target)
        if word in _JUMPS:
            number, target = operands
            return Instruction(word, int(number, 0), target)
        if word == "meta":
            return Instruction(word, _METADATA_BASE + _METADATA[operands[0]])
        if word in _PLAIN:
            (number,) = operands
            return Instruction(word, int(number, 0))
        if word in _BARE and not operands:
            return Instruction(word)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"line {row}: {' '.join(words)}: wrong operands") from error
    raise ValueError(f"line {row}: {' '.join(words)}: no such instruction")


def _encode(line: Instruction, index: int, labels: dict[str, int]) -> bytes:
    if line.word not in _JUMPS:
        code = 0x20 if line.word == "meta" else _PLAIN.get(line.word, _BARE.get(line.word, 0))
        return struct.pack("=HBBI", code, 0, 0, line.number)
    if line.target not in labels:
        raise ValueError(f"no label {line.target}")
    distance = labels[line.target] - index - 1
    if not 0 <= distance <= _MAX_JUMP:
        raise ValueError(f"jump to {line.target} is {distance} instructions away")
    taken, passed = (0, distance) if line.word == "ifne" else (distance, 0)
    return struct.pack("=HBBI", _JUMPS[line.word], taken, passed, line.number)
