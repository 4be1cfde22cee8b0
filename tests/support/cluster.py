"""Three private RabbitMQ nodes in one cluster, which can lose a member or be parted."""

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields

from worker.local_broker import LocalBroker
from worker.rabbitmq_node import NodeLayout

_CTL_SECONDS = 60.0
_COOKIE = b"payments-cluster-cookie"


@dataclass(frozen=True, slots=True)
class _MemberLayout(NodeLayout):
    """A node with a name of its own, which its cluster's port mapper knows."""

    node_name: str

    def environment(self) -> dict[str, str]:
        """See NodeLayout."""
        return {**NodeLayout.environment(self), "RABBITMQ_NODENAME": self.node_name}  # no super() with slots


class Member(LocalBroker):
    """One node of a cluster. The first one's epmd serves them all."""

    def __init__(self, name: str, names: Sequence[str], first: "Member | None") -> None:
        formation = {
            f"cluster_formation.classic_config.nodes.{place}": one for place, one in enumerate(names, 1)
        }
        super().__init__(
            memory_bytes=1 << 29,
            schedulers=1,
            extra_config={
                "cluster_formation.peer_discovery_backend": "classic_config",
                **formation,
                "cluster_partition_handling": "pause_minority",
            },
        )
        self.name = name
        self._first = first or self

    def _open(self) -> None:
        super()._open()
        own, first = self._opened(), self._first._opened()
        values = {one.name: getattr(own, one.name) for one in fields(own)}
        self._layout = _MemberLayout(**values | {"epmd_port": first.epmd_port, "node_name": self.name})
        cookie = own.folder / ".erlang.cookie"
        cookie.unlink()
        cookie.write_bytes(_COOKIE)
        cookie.chmod(0o400)

    def rabbitmqctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints when it talks to this member."""
        done = subprocess.run(
            [str(self._installation.ctl), "--quiet", "--node", self.name, *arguments],
            env=self._opened().environment(),
            capture_output=True,
            text=True,
            timeout=_CTL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr or done.stdout}"
        return done.stdout


@dataclass(frozen=True, slots=True)
class Cluster:
    """Its members, all of which run at first."""

    members: list[Member]

    @property
    def running(self) -> list[str]:
        """The names of the members that the first one that runs is clustered with, itself included."""
        alive = next(member for member in self.members if member.pid is not None)
        said = alive.rabbitmqctl("eval", "rabbit_nodes:all_running().")
        return [member.name for member in self.members if member.name in said]

    def part(self, alone: Member) -> None:
        """Cut one member off from the others: it keeps running, and neither side reaches the other."""
        self._tell(alone, "erlang:set_cookie(N, elsewhere), erlang:disconnect_node(N)")

    def heal(self, alone: Member) -> None:
        """Let them reach one another again."""
        self._tell(alone, f"erlang:set_cookie(N, '{_COOKIE.decode()}')")

    def _tell(self, member: Member, what: str) -> None:
        others = ",".join(f"'{other.name}'" for other in self.members if other is not member)
        member.rabbitmqctl("eval", f"[begin {what} end || N <- [{others}]].")


@contextmanager
def three_nodes() -> Iterator[Cluster]:
    """Run a cluster of three for the block (about 20 s to form)."""
    names = [f"member{number}@localhost" for number in (1, 2, 3)]
    first = Member(names[0], names, None)
    members = [first, *(Member(name, names, first) for name in names[1:])]
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        first._open()
        for member in members:
            stack.callback(member.close)
        list(pool.map(Member.start, members))
        yield Cluster(members)
