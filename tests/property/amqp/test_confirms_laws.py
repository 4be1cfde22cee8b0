"""Whatever the broker says, in whatever order: nothing is called confirmed that it did not store."""

import time
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.amqp.confirms import Batch, Confirms
from worker.amqp.lane import CONFIRMED, Confirmation, Refused, Unknown


@dataclass
class Model:
    """What a broker and a careful clerk know: one dictionary entry a publish."""

    stored: dict[int, bool] = field(default_factory=dict)
    returned: set[int] = field(default_factory=set)
    published: int = 0
    lost: bool = False

    def kind(self, number: int) -> type[Confirmation]:
        """What the outcome of a publish must be."""
        if number not in self.stored:
            return Unknown
        return Refused if number in self.returned or not self.stored[number] else type(CONFIRMED)


def play(data: st.DataObject) -> tuple[Model, list[Batch], dict[int, int]]:
    """Play a random broker on one channel, and an end of the channel; count each batch's calls."""
    model, confirms = Model(), Confirms()
    batches: list[Batch] = []
    answered: dict[int, int] = {}

    def publish(size: int) -> None:
        index = len(batches)
        ids = [f"m{model.published + offset}" for offset in range(1, size + 1)]
        batches.append(confirms.publish(ids, lambda: answered.update({index: answered.get(index, 0) + 1})))
        model.published += size

    publish(data.draw(st.integers(1, 5)))
    for _ in range(data.draw(st.integers(0, 25))):
        waiting = sorted(set(range(1, model.published + 1)) - model.stored.keys())
        action = data.draw(st.sampled_from(["publish", "one", "one", "multiple", "return", "fail"]))
        if action == "publish":
            publish(data.draw(st.integers(1, 6)))
        elif action == "fail" and data.draw(st.booleans()):
            confirms.fail("cut")
            model.lost = True
            break
        elif waiting and action == "return":
            number = data.draw(st.sampled_from(waiting))
            confirms.returned(f"m{number}", "NO_ROUTE")
            model.returned.add(number)
        elif action in ("one", "multiple"):  # also for what has its answer: that one stays
            number, stored = data.draw(st.integers(1, model.published)), data.draw(st.booleans())
            multiple = action == "multiple"
            confirms.confirm(number, multiple, stored)
            for one in [n for n in waiting if n == number or (multiple and n < number)]:
                model.stored[one] = stored
        check_outstanding(confirms, model)
    return model, batches, answered


def check_outstanding(confirms: Confirms, model: Model) -> None:
    """The window reaches from the oldest batch with a publish without an answer to the newest publish."""
    missing = model.published - len(model.stored)
    assert missing <= confirms.outstanding <= model.published
    assert bool(confirms.outstanding) == bool(missing)


@settings(max_examples=400)
@given(st.data())
def test_no_interleaving_gives_a_false_success(data: st.DataObject) -> None:
    """Acks, nacks, multiples, returns and a cut-off in any order: every outcome is the dictionary's."""
    model, batches, answered = play(data)
    for index, batch in enumerate(batches):
        numbers = range(batch.first, batch.last + 1)
        complete = all(number in model.stored for number in numbers)
        assert answered.get(index, 0) == (1 if complete or model.lost else 0)
        if answered.get(index):
            kinds = [type(outcome) for outcome in batch.outcomes]
            assert kinds == [model.kind(number) for number in numbers]


@given(st.integers(1, 60), st.data())
def test_answers_given_again_change_nothing(count: int, data: st.DataObject) -> None:
    """A broker that repeats itself or goes back on its word is held to its first word."""
    confirms = Confirms()
    batch = confirms.publish([f"m{n}" for n in range(count)], lambda: None)
    first: dict[int, bool] = {}
    words = st.tuples(st.integers(1, count), st.booleans(), st.booleans())
    for number, multiple, stored in data.draw(st.lists(words, max_size=40)):
        confirms.confirm(number, multiple, stored)
        for one in range(1 if multiple else number, number + 1):
            first.setdefault(one, stored)
    confirms.fail("cut")
    for number, outcome in enumerate(batch.outcomes, start=1):
        stored_first = first.get(number)
        assert (outcome is CONFIRMED) == (stored_first is True)
        assert isinstance(outcome, Unknown) == (stored_first is None)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=20), st.data())
def test_ids_are_free_again_once_their_batch_is_answered(sizes: list[int], data: st.DataObject) -> None:
    """An id is in flight from its publish until its batch and all before it have their answers."""
    confirms = Confirms()
    ids = [[f"{batch}-{n}" for n in range(size)] for batch, size in enumerate(sizes)]
    batches = [confirms.publish(group, lambda: None) for group in ids]
    order = data.draw(st.permutations(range(len(batches))))
    for index in order:
        assert confirms.any_in_flight(ids[index])
        for number in range(batches[index].first, batches[index].last + 1):
            confirms.confirm(number, multiple=False, stored=True)
        oldest = next((n for n, batch in enumerate(batches) if not batch.done), len(batches))
        assert [confirms.any_in_flight(group) for group in ids] == [n >= oldest for n in range(len(ids))]
    assert confirms.outstanding == 0


def seconds_to_confirm(count: int) -> float:
    """The best of three: one large batch, confirmed by multiples that each reach one further."""
    best = float("inf")
    for _ in range(3):
        confirms = Confirms()
        confirms.publish([str(n) for n in range(count)], lambda: None)
        started = time.process_time()
        for number in range(1, count + 1):
            confirms.confirm(number, multiple=True, stored=True)
        best = min(best, time.process_time() - started)
    return best


def test_multiple_confirms_cost_what_they_newly_answer() -> None:
    """Eight times the publishes cost about eight times as much, not sixty-four times."""
    assert seconds_to_confirm(16_000) < 24 * max(seconds_to_confirm(2_000), 1e-4)
