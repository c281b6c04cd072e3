"""Reference pages that are made from the code each time the site is built: commands, and every key of a campaign."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

__all__ = ["campaign_page", "cli_page"]


def cli_page() -> str:
    """Return every command with its arguments and options."""
    from typer.main import get_command

    from ionsieve.cli.app import app

    root: Any = get_command(app)
    lines = [
        "# Commands",
        "",
        "`ionsieve COMMAND --help` prints the same in the terminal. Exit codes: 0 done, 1 a bug or an accident, 2 bad "
        "input or set-up, 3 finished with failed candidates, 130 interrupted.",
    ]
    return "\n".join(lines + [part for name in root.commands for part in _command(name, root.commands[name])])


def _command(name: str, command: Any) -> list[str]:
    """Return the section of one command; a group gives one section a subcommand."""
    if getattr(command, "commands", None):
        return [part for sub in command.commands for part in _command(f"{name} {sub}", command.commands[sub])]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(["ionsieve", name, "[OPTIONS]" if options else "", *((a.name or "").upper() for a in arguments)])
    lines = ["", f"## {name}", "", (command.help or "").strip(), "", f"```\n{' '.join(usage.split())}\n```", ""]
    rows = [(f"`{(a.name or '').upper()}`", a) for a in arguments]
    rows += [(", ".join(f"`{o}`" for o in (*p.opts, *p.secondary_opts)), p) for p in options]
    if rows:
        lines += ["| | default | |", "| --- | --- | --- |"]
    for shown, parameter in rows:
        default = parameter.default
        empty = default is None or default is ... or parameter.required or default in ((), False) or callable(default)
        text = (getattr(parameter, "help", "") or "").replace("|", "\\|").replace("\n", " ")
        value = "" if empty else f"`{getattr(default, 'value', default)}`"
        lines.append(f"| {shown} | {value} | {text} |")
    return lines


def campaign_page() -> str:
    """Return every key of a campaign with type, default and meaning."""
    from ionsieve.campaign import Campaign

    lines = [
        "# Keys of a campaign",
        "",
        "Made from the settings themselves. Only `generate.recipes` is needed. How to use them: "
        "[Writing a campaign](../guide/campaign.md).",
    ]
    scalars = []
    for name, field in Campaign.model_fields.items():
        model = _model(field.annotation)
        if model is None:
            scalars.append(_row(name, field))
    lines += ["", *_table(scalars)]
    for name, field in Campaign.model_fields.items():
        model = _model(field.annotation)
        if model is not None:
            lines += _section(name, model, set())
    return "\n".join(lines) + "\n"


def _section(path: str, model: type[BaseModel], seen: set[type]) -> list[str]:
    if model in seen:
        return []
    seen.add(model)
    first = (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    lines = [
        "",
        f"## {path}",
        "",
        " ".join(first.split()),
        "",
        *_table([_row(n, f) for n, f in model.model_fields.items()]),
    ]
    for name, field in model.model_fields.items():
        inner = _model(field.annotation)
        if inner is not None:
            lines += _section(f"{path}.{name}", inner, seen)
    return lines


def _table(rows: list[str]) -> list[str]:
    return ["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows] if rows else []


def _row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        shown = "**needed**"
    elif isinstance(default, BaseModel):
        shown = "see below"
    elif default == "":
        shown = "empty"
    else:
        shown = "`null`" if default is None else f"`{list(default) if isinstance(default, tuple) else default}`"
    meaning = (field.description or "").replace("|", "\\|").replace("\n", " ")
    bounds = ", ".join(
        f"{sign} {getattr(m, key):g}"
        for m in field.metadata
        for key, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if isinstance(getattr(m, key, None), (int, float))
    )
    kind = _type(field.annotation) + (f", {bounds}" if bounds else "")
    return f"| `{field.alias or name}` | {kind} | {shown} | {meaning} |"


def _model(annotation: Any) -> type[BaseModel] | None:
    """Return the settings model that a field holds, alone, optional, or in a tuple or dict."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in typing.get_args(annotation) if (m := _model(a)) is not None), None)


def _type(annotation: Any) -> str:
    """Return a type in words for people who write YAML."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(a) for a in inner if a is not type(None)))
    if origin is tuple:
        return "list of " + _type(inner[0])
    if origin is dict:
        return f"map to {_type(inner[1])}"
    names = {float: "number", int: "whole number", str: "text", bool: "true or false"}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys below"
    return names.get(annotation, "value")
