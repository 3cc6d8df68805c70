"""Rooms of the house that are also functions of the API: calling the module calls the function of advisor/api.py."""

from importlib import import_module
from types import ModuleType
from typing import Any


def callable_as(function: str) -> type[ModuleType]:
    """The class for a module whose call is that of the function in advisor/api.py; its help is the function's."""

    class Room(ModuleType):
        def __call__(self, *arguments: Any, **named: Any) -> Any:
            return getattr(import_module("advisor.api"), function)(*arguments, **named)

    return Room
