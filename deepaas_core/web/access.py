"""What requests can say of tokens and of access: how they are read, and what the OpenAPI document tells of them."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from deepaas_core.domain.access import Policy, Right


class LimitsSchema(Schema):
    """What can be said of limits."""

    requests_per_s = fields.Float(allow_none=True, metadata={"description": "On average; null: as the settings say."})
    burst = fields.Integer(
        strict=True, allow_none=True, metadata={"description": "So many at once; null: what two seconds allow."}
    )
    max_body_mb = fields.Float(allow_none=True, metadata={"description": "Largest body of a request, in MiB."})


class NewTokenSchema(LimitsSchema):
    """What can be said of a new token."""

    label = fields.String(required=True, metadata={"description": "Whose it is or what it is for.", "example": "Ada"})
    rights = fields.List(
        fields.String(metadata={"enum": [str(right) for right in Right]}),
        required=True,
        metadata={"example": [str(Right.PREDICT)]},
    )
    names = fields.List(
        fields.String(), allow_none=True, metadata={"description": "Of which models and services; null: of all."}
    )
    expires_at = fields.AwareDateTime(allow_none=True, metadata={"description": "When it ends by itself; null: never."})
    expires_in_s = fields.Float(allow_none=True, metadata={"description": "The same, in seconds from now."})


class RuleSchema(LimitsSchema):
    """What can be said of a name."""

    policy = fields.String(
        allow_none=True,
        validate=validate.OneOf([str(policy) for policy in Policy]),
        metadata={"description": "Who may call it: everybody, or who has a token; null: as the settings say."},
    )
