"""The shape of `extensions: {replan: {rules: [...]}}` in a plan, for pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from galaxy_core import DeviceType, Expression

End = Literal["failed", "timeout", "refused", "unknown"]
Text = Annotated[str, StringConstraints(min_length=1)]
#: A task of a rule, in the keys of a plan file; checked as such by templates.py.
TaskKeys = dict[str, Any]
DeviceTypeName = Literal["windows", "macos", "linux", "android", "ios", "web", "api"]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Retry(_Shape):
    """Do the task again, as a copy of it."""

    before: dict[Text, TaskKeys] = Field(
        default_factory=dict, description="Tasks to do first, by id, in the keys of a plan file."
    )
    device: Text | None = Field(None, description="The one device that the copy may run on.")
    device_type: DeviceTypeName | None = Field(None, description="The platform that the copy needs.")
    requires: list[Text] | None = Field(None, description="Capabilities that the copy's device must have.")

    @property
    def platform(self) -> DeviceType | None:
        return None if self.device_type is None else DeviceType(self.device_type)


class Skip(_Shape):
    """Give the task up, and what needs it, up to some tasks that go on without."""

    until: list[Text] = Field(min_length=1, description="The tasks that go on: ids or patterns.")


def _by_default() -> list[End]:
    return ["failed", "timeout"]


class Rule(_Shape):
    """What is done when certain tasks end in certain ways."""

    on: list[Text] = Field(min_length=1, description="The tasks that it is about: ids or patterns.")
    when: list[End] = Field(default_factory=_by_default, min_length=1, description="The ends that it is about.")
    condition: Text | None = Field(None, alias="if", description="A condition on what came of the task, in JMESPath.")
    at_most: int = Field(1, ge=1, le=1000, description="How often it is applied to one task and its copies.")
    retry: Retry | None = Field(None, description="Do the task again.")
    skip: Skip | None = Field(None, description="Go on without the task.")
    diagnose: TaskKeys | None = Field(None, description="A task to add, in the keys of a plan file.")

    @field_validator("condition")
    @classmethod
    def _is_jmespath(cls, text: str | None) -> str | None:
        if text is not None:
            Expression(text)
        return text

    @model_validator(mode="after")
    def _acts(self) -> Self:
        if self.retry is None and self.skip is None and self.diagnose is None:
            raise ValueError("a rule without an action: give it retry (which may be {}), skip or diagnose")
        if self.retry is not None and self.skip is not None:
            raise ValueError("retry and skip exclude each other: to skip when the retry fails, too, add a second rule")
        return self


class Rules(_Shape):
    """The configuration of this plugin."""

    rules: list[Rule] = Field(min_length=1, description="The first that fits an end is applied.")
