"""Fees rounded by ``carry``, as one payment would be charged if no earlier one had left a remainder. Pure."""

from worker.money import Amount, Carry, Charge, ChargedUnits, CompiledSchedule, Rounding


def carries(schedule: CompiledSchedule) -> bool:
    """Whether a schedule gives each rounding's remainder to the next payment."""
    return schedule.schedule.rounding is Rounding.CARRY


def charge_alone(schedule: CompiledSchedule, units: int, scale: int) -> ChargedUnits:
    """Return gross, net, their scale and the fees; raises as the schedule does."""
    if not carries(schedule):
        return schedule.charge_units(units, scale)
    charge = explain_alone(schedule, Amount(units, scale, schedule.currency))
    return (
        charge.gross.units,
        charge.net.units,
        charge.net.scale,
        tuple(fee.money.units for fee in charge.fees),
    )


def explain_alone(schedule: CompiledSchedule, amount: Amount) -> Charge:
    """Charge an amount and show every rounding in the trail."""
    if not carries(schedule):
        return schedule.explain(amount)
    return schedule.charge_carrying(amount, [Carry()] * len(schedule.names))
