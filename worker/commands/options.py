"""Options that several commands share; each also reads its PAYMENT_WORKER_ variable, through the settings."""

from pathlib import Path
from typing import Annotated

import typer

AmqpUrl = Annotated[
    str | None,
    typer.Option(
        "--amqp-url",
        metavar="URL",
        help="The broker, amqp://user:password@host:port/vhost; several separated by commas.",
        show_default=False,
    ),
]
Journal = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Where payments are remembered, or none.", show_default=False),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Prefix of queues and exchanges, default payments.", show_default=False
    ),
]
Shards = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Queues that incoming payments are spread over.", show_default=False
    ),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay", metavar="FILE", help="Rule file laid over the others; repeatable.", show_default=False
    ),
]
Rules = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules", metavar="PATH", help="Rule file, or folder of them; repeatable.", show_default=False
    ),
]
