"""From YAML to a `Campaign`, or to every problem found, each with its line and its remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ionsieve import __version__
from ionsieve.campaign.model import Campaign
from ionsieve.errors import DataError, InputError, Problem, Problems, ProblemsError, SetupError, nearest
from ionsieve.generate.settings import Recipe
from ionsieve.resources import data_folder

__all__ = ["find_campaign", "load_campaign", "located", "parse_campaign", "thaw_campaign"]

Location = tuple[str | int, ...]


def find_campaign(name: str | Path) -> Path:
    """Return the campaign file: a path, or the name of one shipped in ``workflows``.

    Raises
    ------
    InputError
        When there is neither; the nearest shipped name is suggested.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError("this is a folder; a campaign is a YAML file", where=str(path))
    shipped = {p.stem: p for p in sorted(data_folder("workflows").glob("*.yaml"))}
    if str(name) in shipped:
        return shipped[str(name)]
    close = nearest(path.stem, shipped)
    raise InputError(
        "no such campaign file",
        where=str(name),
        expected=f"a YAML file, or one of the shipped campaigns: {', '.join(shipped)}",
        remedy=f"did you mean {close!r}?" if close else "`ionsieve init my.yaml` writes a commented one",
    )


def load_campaign(path: str | Path) -> Campaign:
    """Read a campaign file.

    Raises
    ------
    ProblemsError
        With every problem of the file.
    InputError
        When the file is missing, unreadable or no YAML.
    """
    file = find_campaign(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "ask its owner for the permission, or copy it" if isinstance(error, PermissionError) else ""
        raise InputError(f"cannot be read: {error.strerror}", where=str(file), remedy=remedy) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"this is no text in UTF-8: {error}", where=str(file), remedy="save it as UTF-8 in your editor"
        ) from error
    return _absolute(parse_campaign(text, where=str(file), default_name=file.stem), file.absolute().parent)


@contextmanager
def located(path: str | Path) -> Iterator[None]:
    """Add file and line to the problems that are found only when the campaign is acted upon.

    Raises
    ------
    ProblemsError, SetupError
        In place of an input or set-up error whose key stands in the file.
    """
    try:
        yield
    except (InputError, SetupError) as error:
        file = find_campaign(path)
        tree = YAML(typ="rt", pure=True).load(file.read_text(encoding="utf-8"))
        found = getattr(error, "problems", (error.problem,))
        placed = [_placed(problem, file, tree) for problem in found]
        if placed == list(found):
            raise
        if isinstance(error, SetupError):
            raise SetupError(**vars(placed[0])) from error
        raise ProblemsError(placed) from error


def _placed(problem: Problem, file: Path, tree: Any) -> Problem:
    if problem.where or re.split(r"[.\[]", problem.key)[0] not in tree:
        return problem
    parts = re.findall(r"([^.\[\]]+)|\[(\d+)\]", problem.key)
    loc: Location = tuple(int(number) if number else name for name, number in parts)
    return replace(problem, where=f"{file}:{_line(tree, loc)}")


def _absolute(campaign: Campaign, home: Path) -> Campaign:
    """Return the campaign with its paths resolved against the file's folder: it is read again from elsewhere."""

    def resolve(path: str) -> str:
        return str((home / Path(path).expanduser()).resolve())

    potential = campaign.potential.model_copy(
        update={
            "path": resolve(campaign.potential.path) if campaign.potential.path else None,
            "committee": tuple(resolve(p) for p in campaign.potential.committee),
        }
    )
    columns = campaign.ranking.columns_csv
    ranking = campaign.ranking.model_copy(update={"columns_csv": resolve(columns) if columns else None})
    recipes = tuple(_with_files(recipe, resolve) for recipe in campaign.generate.recipes)
    library = tuple(resolve(p) for p in campaign.generate.library)
    generate = campaign.generate.model_copy(update={"library": library, "recipes": recipes})
    run = campaign.run.model_copy(update={"share": tuple(resolve(p) for p in campaign.run.share)})
    return campaign.model_copy(update={"potential": potential, "ranking": ranking, "generate": generate, "run": run})


def _with_files(recipe: Recipe, resolve: Callable[[str], str]) -> Recipe:
    """The recipe with prototypes that are given as files resolved."""

    def file(name: str) -> str:
        return resolve(name) if name.endswith((".yaml", ".yml", ".cif")) else name

    if recipe.prototype is not None:
        return recipe.model_copy(update={"prototype": file(recipe.prototype)})
    if recipe.grid is not None:
        grid = recipe.grid.model_copy(update={"prototypes": tuple(map(file, recipe.grid.prototypes))})
        return recipe.model_copy(update={"grid": grid})
    return recipe


def parse_campaign(text: str, *, where: str = "campaign", default_name: str = "campaign") -> Campaign:
    """Read a campaign from YAML text; errors as in `load_campaign`."""
    yaml = YAML(typ="rt", pure=True)  # round-trip keeps line numbers and, like the safe loader, builds no objects
    try:
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(
            f"not valid YAML: {error.problem or error.context}",
            where=f"{where}:{line}",
            cause="usually an indentation that does not line up, or a missing space after a colon",
        ) from error
    except YAMLError as error:
        raise InputError(f"not valid YAML: {error}", where=where) from error
    if not isinstance(tree, CommentedMap):
        raise InputError(
            "a campaign is a mapping of keys to settings",
            where=where,
            found=_kind(tree),
            expected="keys such as name, generate, potential, dynamics",
            remedy="`ionsieve init my.yaml` writes a commented one",
        )
    data = _plain(tree)
    if not data.get("name"):
        data["name"] = re.sub(r"[^A-Za-z0-9._-]+", "-", default_name).strip("-.") or "campaign"
    try:
        return Campaign.model_validate(data)
    except ValidationError as error:
        problems = Problems()
        items = sorted(_deepest(error.errors(include_url=False)), key=lambda item: _line(tree, item["loc"]))
        for item in items:
            _explain(item, problems, tree, where)
        problems.throw()
        raise  # a validation error without a problem cannot happen; if it does, show it as it is


def thaw_campaign(data: Mapping[str, Any], *, where: str) -> Campaign:
    """Return the campaign that a results folder keeps as JSON.

    Raises
    ------
    DataError
        When another version of the program froze it and this one does not know its settings.
    """
    try:
        return Campaign.model_validate(data)
    except ValidationError as error:
        wrong = [".".join(str(part) for part in e["loc"]) for e in error.errors(include_url=False)]
        raise DataError(
            "the campaign in this folder was frozen by another version of the program",
            where=where,
            found=", ".join(wrong[:5]),
            expected=f"settings that ionsieve {__version__} knows",
            remedy="use the version that ran it, or run campaign.yaml anew into another folder",
        ) from error


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {(k if isinstance(k, str) else str(k)): _plain(v) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return [_plain(v) for v in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return str(node)


def _deepest(errors: Sequence[Any]) -> Iterator[Any]:
    """Yield each error once: pydantic reports every arm of a union; keep one problem a place, the most specific."""
    seen: set[tuple[Location, str]] = set()
    for item in sorted(errors, key=lambda e: -len(e["loc"])):
        place = tuple(p for p in item["loc"] if not _is_union_tag(p))
        if item["type"] == "across_rooms":  # said of the whole campaign: the key that it is about stands inside
            place = tuple(item["ctx"]["key"].split("."))
        if any(place == other[: len(place)] and place != other for other, _ in seen):
            continue
        if (place, item["msg"]) not in seen:
            seen.add((place, item["msg"]))
            yield {**item, "loc": place}


def _is_union_tag(part: str | int) -> bool:
    return isinstance(part, str) and bool(
        re.match(r"^(function-|constrained-|tuple\[|list\[|dict\[|union\[|literal\[)", part)
    )


def _line(tree: Any, loc: Location) -> int:
    """Line (from 1) of the deepest part of `loc` that the file holds."""
    line, node = 1, tree
    for part in loc:
        try:
            if isinstance(node, CommentedMap):
                key = next(k for k in node if str(k) == str(part))
                line, node = node.lc.key(key)[0] + 1, node[key]
            elif isinstance(node, CommentedSeq) and isinstance(part, int):
                line, node = node.lc.item(part)[0] + 1, node[part]
            else:
                break
        except (StopIteration, IndexError, KeyError, TypeError):
            break
    return line


def _model_at(loc: Location) -> type[BaseModel] | None:
    """Return the settings model that holds the last key of `loc`."""
    model: type[BaseModel] | None = Campaign
    for part in loc:
        if isinstance(part, int) or model is None:
            continue
        info = model.model_fields.get(part)
        model = _find_model(info.annotation) if info is not None else model
    return model


def _find_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _find_model(inner)
        if found is not None:
            return found
    return None


def _dotted(loc: Location) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _explain(item: Mapping[str, Any], problems: Problems, tree: Any, where: str) -> None:
    loc: Location = item["loc"]
    place = {"where": f"{where}:{_line(tree, loc)}", "key": _dotted(loc)}
    depth = max((i for i, part in enumerate(loc) if isinstance(part, str)), default=0)  # not an item of a list: its key
    parent, name = _model_at(loc[:depth]), str(loc[depth]) if loc else ""
    if item["type"] == "extra_forbidden":
        known = list(parent.model_fields) if parent else []
        close = nearest(name, known)
        problems.add(
            "unknown key",
            **place,
            expected=f"one of {', '.join(known)}",
            remedy=f"did you mean {close!r}?" if close else "",
        )
        return
    info = parent.model_fields.get(name) if parent else None
    meaning = info.description or "" if info else ""
    if item["type"] == "missing":
        problems.add("required key is missing", **place, expected=meaning)
        return
    if item["type"] == "across_rooms":
        problems.add(item["msg"], **place, found=item["ctx"]["found"], remedy=item["ctx"]["remedy"])
        return
    message = _plainly(item) or item["msg"].removeprefix("Value error, ")
    found = repr(item["input"]) if not isinstance(item["input"], (dict, list)) else ""
    remedy = ""
    context = item.get("ctx") or {}
    if item["type"] in ("literal_error", "enum"):
        close = nearest(str(item["input"]), re.findall(r"'([^']+)'", str(context.get("expected", ""))))
        remedy = f"did you mean {close!r}?" if close else ""
    elif isinstance(item["input"], str) and (unit := _split_unit(item["input"])):
        remedy = f"units belong to the key, not to the value: write {unit[0]}"
        if unit[1].lower() in ("c", "°c", "degc", "celsius") and name.endswith("_K"):
            remedy = f"did you mean {float(unit[0]) + 273.15:g} (= {unit[0]} °C)? Temperatures are in K"
    elif item["type"] in ("int_type", "float_type") and re.fullmatch(_NUMBER, str(item["input"]).strip()):
        remedy = f"a number stands without quotation marks: write {str(item['input']).strip()}"
    problems.add(message[:1].lower() + message[1:], **place, found=found, expected=meaning, remedy=remedy)


def _kind(node: Any) -> str:
    """What a YAML node is, in words."""
    if node is None:
        return "nothing"
    return "a list" if isinstance(node, list) else "a group of keys" if isinstance(node, Mapping) else repr(node)


def _plainly(item: Mapping[str, Any]) -> str:
    """What pydantic says in words of Python, said in those of YAML; empty for what it says well."""
    kind = str(item["type"])
    if kind in ("tuple_type", "list_type"):
        return "a list was expected: [a, b], or one `- a` a line"
    if kind == "too_short" and not item["input"]:
        return "the list is empty"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"a group of keys was expected, not {_kind(item['input'])}"
    if kind == "string_pattern_mismatch":
        return "this is not of the right form"
    return ""


_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"


def _split_unit(text: str) -> tuple[str, str] | None:
    match = re.fullmatch(rf"\s*({_NUMBER})\s*([A-Za-z°/Å]+)\s*", text)
    return (match[1], match[2]) if match else None
