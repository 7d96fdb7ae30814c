"""What a result depends on: the bytes of its inputs, its code and its libraries; and what it consists of."""

from cortax.provenance.files import file_digest

__all__ = ["file_digest"]
