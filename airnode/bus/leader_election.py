"""One of several processes acts, the others stand by: a claim that holds while its holder's lease lives."""

import msgspec

from airnode.bus.leases import Leases


class Candidate(msgspec.Struct, frozen=True):
    """What a candidate says about itself.

    Attributes:
        name: for people.
    """

    name: str


class Candidacy:
    """One candidate. Each time in office has an epoch of its own, higher than all before it: what the holder writes
    carries it, so that a holder who was away and does not know that it has been replaced is refused.

    Args:
        office: what there is one of.
        member: this candidate's id.
        lease_s: a holder that is silent for this long is replaced.
    """

    def __init__(self, leases: Leases, office: str, member: str, name: str, *, lease_s: float) -> None:
        self._leases = leases
        self._office = office
        self._member = member
        self._me = Candidate(name)
        self._lease_s = lease_s
        self._last_epoch = 0
        #: The epoch while this one holds the office, as far as it knows.
        self.epoch: int | None = None
        #: Name of who holds it.
        self.holder = ""

    async def stand(self) -> None:
        """Renew the lease, and take the office where it is free. To be called several times in ``lease_s``.

        Raises:
            Unavailable: the Redis does not answer.
        """
        await self._leases.put_lease(self._office, self._member, self._me, self._lease_s)
        claim = await self._leases.read_claim(self._office, Candidate)
        if claim is not None and self.epoch is not None and (claim.owner, claim.epoch) == (self._member, self.epoch):
            return
        self.epoch = None
        self.holder = claim.value.name if claim is not None and claim.value is not None else ""
        other = claim is not None and claim.owner not in ("", self._member) and claim.owner
        if other and await self._leases.read_lease(self._office, other, Candidate) is not None:
            return
        await self._take(max(claim.epoch if claim is not None else 0, self._last_epoch) + 1)

    async def _take(self, epoch: int) -> None:
        granted, claim = await self._leases.claim(self._office, self._member, epoch, self._me)
        self.holder = claim.value.name if claim.value is not None else ""
        if granted:
            self.epoch = self._last_epoch = epoch

    def lose(self) -> None:
        """Somebody else was found to hold it."""
        self.epoch = None

    async def leave(self) -> None:
        """Give the office back, and stand no longer. Raises Unavailable when the Redis does not answer."""
        epoch, self.epoch = self.epoch, None
        if epoch is not None:
            await self._leases.release_claim(self._office, self._member, epoch)
        await self._leases.drop_lease(self._office, self._member)
