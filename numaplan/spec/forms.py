"""What every map of vnf.yaml has in common, and values that may be written short."""

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from numaplan.spec.nodes import YamlScalar
from numaplan.spec.scalars import Reader


class OrScalar:
    """A value that may be written short, as one scalar, which `short` reads.

    Where `key` is given, the scalar stands for a map with that one key.
    """

    def __init__(self, long: object, short: Reader, *, key: str | None = None) -> None:
        self._long = long
        self._short = short
        self._key = key

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The long form, with the short one before it."""
        return core_schema.no_info_wrap_validator_function(
            self._read,
            handler.generate_schema(self._long),
            # Of what it writes, only a default ever is: in the JSON Schema.
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Either form."""
        return {"anyOf": [dict(self._short.schema), handler(core)]}

    def _read(self, value: object, long: ValidatorFunctionWrapHandler) -> object:
        if not isinstance(value, YamlScalar):
            return long(value)
        return self._short.read(value) if self._key is None else long({self._key: value})


class Keys(BaseModel):
    """A map with these keys and no others; a key whose value is null is as good as absent."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {
            key: item
            for key, item in value.items()
            if key not in known or not (isinstance(item, YamlScalar) and item.is_null)
        }

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        """The keys as the file writes them, sorted."""
        return tuple(sorted(field.alias or name for name, field in cls.model_fields.items()))
