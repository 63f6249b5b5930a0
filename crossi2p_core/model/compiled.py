"""The network compiled by torch (`torch.compile`) where that works, and as it is where it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

WORDS = 300  # letters of a compiler's complaint that are passed on; they can be thousands of lines


def compile_forward(network: nn.Module, tell: Callable[[str], None]) -> None:
    """Let the module's forward be compiled at its first call, which takes a minute or more.

    Names of weights stay, and a copy.deepcopy taken before is not compiled. Where compilation fails, for example since
    there is no C++ compiler, `tell` is given one sentence and the module computes as it did before.
    """
    network.forward = CompiledForward(network.forward, tell)


class CompiledForward:
    """Calls a function compiled; for good the plain one once that fails where the plain one does not."""

    def __init__(self, forward: Callable[..., Any], tell: Callable[[str], None]) -> None:
        self._plain, self._tell = forward, tell
        self._compiled: Callable[..., Any] | None = None
        self._failed = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns. Raises what the plain function itself raises, and nothing else."""
        if self._failed:
            return self._plain(*args, **kwargs)
        try:
            if self._compiled is None:
                self._compiled = torch.compile(self._plain)
            with _gradients_twice():
                return self._compiled(*args, **kwargs)
        except Exception as error:  # whatever tracing, code generation or the C++ compiler may raise
            found = self._plain(*args, **kwargs)  # raises by itself where not the compiler but the input is at fault
            self._failed, self._compiled = True, None
            self._tell("torch.compile does not work here, so the network runs uncompiled, which is slower but right "
                       f"({_first_line(error)})")
            return found


def _gradients_twice() -> AbstractContextManager[Any]:
    """GradNorm looks at gradients before the backward pass proper, so the first look must leave what the second needs.

    Compiled backward passes since torch 2.6 would reuse that memory unless told not to.
    """
    from torch._functorch import config

    return config.patch(donated_buffer=False) if hasattr(config, "donated_buffer") else contextlib.nullcontext()


def _first_line(error: Exception) -> str:
    """What an error says in its first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no more is known'}"[:WORDS]
