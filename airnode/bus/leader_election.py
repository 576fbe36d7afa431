"""Leader election: one of several processes acts while it holds a claim; the others wait."""

import msgspec

from airnode.bus.leases import Leases


class Candidate(msgspec.Struct, frozen=True):
    """The value of a candidate's lease and of the leader's claim.

    Attributes:
        name: name of the process, for people.
    """

    name: str


class LeaderElection:
    """One candidate of an election.

    The leader holds a claim for as long as its lease is alive. Each term has a number (the epoch of the claim) that is
    higher than all earlier ones. The leader writes that number with its data, so that readers and scripts can reject
    a leader that was offline and does not know yet that it was replaced.

    Args:
        election: key of the claim and group of the candidates' leases.
        member: id of this candidate.
        lease_s: a leader that has not renewed its lease for this long is replaced.
    """

    def __init__(self, leases: Leases, election: str, member: str, name: str, *, lease_s: float) -> None:
        self._leases = leases
        self._election = election
        self._member = member
        self._me = Candidate(name)
        self._lease_s = lease_s
        self._last_term = 0
        #: Number of the term while this candidate is the leader, as far as it knows; else None.
        self.term: int | None = None
        #: Name of the leader; empty: there is no leader.
        self.leader = ""

    async def campaign(self) -> None:
        """Renew the lease, and become the leader if there is none. Call this several times per ``lease_s``.

        Raises:
            Unavailable: Redis does not answer.
        """
        claim = await self._leases.renew_and_read_claim(self._election, self._member, self._me, self._lease_s)
        if claim is not None and self.term is not None and (claim.owner, claim.epoch) == (self._member, self.term):
            return
        self.term = None
        self.leader = claim.value.name if claim is not None and claim.value is not None else ""
        other = claim is not None and claim.owner not in ("", self._member) and claim.owner
        if other and await self._leases.read_lease(self._election, other, Candidate) is not None:
            return
        await self._start_term(max(claim.epoch if claim is not None else 0, self._last_term) + 1)

    async def _start_term(self, term: int) -> None:
        granted, claim = await self._leases.claim(self._election, self._member, term, self._me)
        self.leader = claim.value.name if claim.value is not None else ""
        if granted:
            self.term = self._last_term = term

    def step_down(self) -> None:
        """End the term: another leader was found."""
        self.term = None

    async def resign(self) -> None:
        """Release the claim and the lease, so that another candidate can take over at once.

        Raises:
            Unavailable: Redis does not answer.
        """
        term, self.term = self.term, None
        if term is not None:
            await self._leases.release_claim(self._election, self._member, term)
        await self._leases.drop_lease(self._election, self._member)
