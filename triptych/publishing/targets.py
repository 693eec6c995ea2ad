"""Which database a URL is of."""

import re
from pathlib import Path

from triptych.errors import UserError
from triptych.publishing.database import Database

FORMS = (
    "postgresql://user@host/database",
    "lancedb:FOLDER",
    "qdrant://host:6333",
    "qdrant+https://host",
    "qdrant:FOLDER",
    "elasticsearch://user@host:9200",
    "opensearch+https://user@host:9200",
    "parquet:FOLDER",
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def open_database(url: str, name: str) -> Database:
    """Open the database of a URL for tables whose names begin with ``name``.

    Raise `UserError` where the URL has none of the `FORMS`, where the extra is not installed, and where the database
    cannot be reached.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"--name {name!r}: expected a lower-case letter, then letters, digits and _, at most 40")
    scheme, _, rest = url.partition(":")
    is_path = not rest.startswith("//")
    path = rest.removeprefix("//")
    if not path:
        raise UserError(f"{url!r} names no database; expected {', '.join(FORMS)}")
    extra = scheme.partition("+")[0]
    try:
        match scheme:
            case "postgresql" | "postgres":
                extra = "postgres"
                from triptych.publishing.postgres import Postgres

                return Postgres(url, name)
            case "lancedb":
                from triptych.publishing.lance import Lance

                return Lance(path, name)
            case "qdrant" | "qdrant+https":
                from triptych.publishing.qdrant import Qdrant

                if is_path:
                    return Qdrant(name, path=path)
                return Qdrant(name, url=f"{'https' if scheme.endswith('https') else 'http'}://{path}")
            case "elasticsearch" | "elasticsearch+https" | "opensearch" | "opensearch+https":
                from triptych.publishing.elastic import Elastic

                address = f"{'https' if scheme.endswith('https') else 'http'}://{path}"
                return Elastic(address, name, opensearch=extra == "opensearch")
            case "parquet":
                from triptych.publishing.parquet import Parquet

                return Parquet(Path(path), name)
    except ImportError as error:
        raise UserError(f'{url.partition(":")[0]}: {error}; pip install "triptych[{extra}]"') from error
    raise UserError(f"no database for {scheme!r}; expected {', '.join(FORMS)}")
