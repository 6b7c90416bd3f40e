"""Finds what was typed anywhere in a table's search column.

Three letters or more are looked up in an index of trigrams: FTS5's on SQLite (the tables repair_words and
customer_words, which triggers keep), pg_trgm's on PostgreSQL. Fewer are compared row by row.
"""

import re
import unicodedata

from sqlalchemy import ColumnElement, Select, column, or_, table

from . import formats
from .db import db

# What SQLite's index and PostgreSQL's are made of: https://www.sqlite.org/fts5.html#the_trigram_tokenizer
GRAM = 3
# How letters are written out where a keyboard lacks them.
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


def words(typed: str) -> list[set[str]]:
    """Every word typed, each in the spellings that it may have been written down in.

    An IMEI is found with and without the gaps that people write into it, a phone number however it was typed, and
    "Müller" by "Mueller" as the other way round.
    """
    found = []
    written_out = unicodedata.normalize("NFC", typed.casefold()).translate(_WRITTEN_OUT)
    for word, longer in zip(formats.search_words(typed), formats.search_words(written_out), strict=True):
        spellings = {word, formats.compact(word)}
        number = formats.digits(word)
        if len(number) >= GRAM and re.fullmatch(r"\+?[\d\s()./-]+", word):
            spellings.add(number)
        if len(bare := _without_umlauts(word)) >= GRAM:
            spellings.add(bare)
        # Two letters are few, however they are written.
        if len(word) >= GRAM:
            spellings.add(longer)
        found.append(spellings - {""})
    return found


def _without_umlauts(word: str) -> str:
    """A folded word whose ae, oe and ue may be written for ä, ö and ü, as those are folded.

    In front of another letter only, and not behind a vowel or q: "blue", "queen" and "Bauer" have none.
    """
    return re.sub(r"(?<![aeoq])([aou])e(?=[a-z])", r"\1", word)


def is_short(typed: str) -> bool:
    """Whether no word has the letters that the index needs. A Chinese name of two characters says enough."""
    return all(len(word) < GRAM and word.isascii() for spellings in words(typed) for word in spellings)


def containing(model, typed: str) -> list[ColumnElement]:
    """Conditions: a row has every word. For rows that are few, or already narrowed down."""
    return [_has(model, spellings) for spellings in words(typed)]


def narrowed(query: Select, model, typed: str) -> tuple[Select, ColumnElement]:
    """The query with only those rows of a model that have every word, and the column that orders them by age.

    SQLite reads its index from the newest row to the oldest, and stops when the page is full, if it is asked to order
    by the index's own column.
    """
    if db.engine.dialect.name != "sqlite":
        return query.where(*containing(model, typed)), model.id
    in_index = [spellings for spellings in words(typed) if min(map(len, spellings)) >= GRAM]
    query = query.where(*(_has(model, spellings) for spellings in words(typed) if spellings not in in_index))
    if not in_index:
        return query, model.id
    name = f"{model.__tablename__}_words"
    index = table(name, column("rowid"), column(name))
    query = query.join(index, index.c.rowid == model.id).where(index.c[name].op("MATCH")(_match(in_index)))
    return query, index.c.rowid


def _has(model, spellings: set[str]) -> ColumnElement:
    return or_(*(model.search.contains(word, autoescape=True) for word in sorted(spellings)))


def _match(found: list[set[str]]) -> str:
    """FTS5's own language: strings in double quotes, so that nothing in them is an operator."""
    either = (" OR ".join('"{}"'.format(word.replace('"', '""')) for word in sorted(each)) for each in found)
    return " AND ".join(f"({each})" for each in either)
