"""The mutations of `make mutations` still fit the product: a text that has changed is changed there as well."""

from functools import cache

import pytest

from tests.mutations.catalogue import BREAKPOINTS, MUTATIONS, Mutation
from tests.mutations.edits import Edit, StaleEditError, edited


@cache  # most mutations share their breakpoints
def compiled(text: str, file: str) -> object:
    return compile(text, file, "exec")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_changes_texts_that_are_there_once_and_can_be_run(mutation: Mutation) -> None:
    assert mutation.edits
    for file, text in edited((*BREAKPOINTS, *mutation.edits)).items():
        if file.endswith(".py"):
            compiled(text, file)


def test_each_mutation_has_a_name_of_its_own() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("text", ["a text that is nowhere", "self"], ids=["absent", "more than once"])
def test_a_text_that_is_not_there_once_is_refused(text: str) -> None:
    with pytest.raises(StaleEditError, match="times, and not once"):
        edited([Edit("processor/service.py", text, "")])
