"""Ask a user's function in a process of its own, and find the sample that it fails at."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ...contract.failure import Failure
from .answers import Trouble, probabilities, scores_of
from .process import Gone, Process, TooLate
from .sample import Question, Sample, about, about_pairs

__all__ = ["Expression", "Function", "FunctionOfPairs", "FunctionReward", "unloadable"]

SEARCHING = 30.0  # seconds that an expression may take over the answers of a call


class Function:
    """A function in its process; ``role`` is what a message calls it, ``timeout`` the seconds that a call may take."""

    def __init__(
        self,
        name: str,
        timeout: float,
        role: str,
        *,
        bounded: bool,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.timeout, self.bounded = name, timeout, bounded
        self.title = f"the {role} function `{name}`"
        self.process = Process(name, variables)

    def ask(self, question: Question) -> list[float]:
        """Get a number for each entry. Failure E612, E807, E808 or E809, with the sample where it can be found."""
        if not len(question):
            return []
        try:
            return self.once(question, self.timeout)
        except Trouble as trouble:
            raise self.blamed(question, trouble) from None

    def once(self, question: Question, seconds: float) -> list[float]:
        """Ask once; what is wrong with the answer is raised as Trouble. A lost process is started again."""
        try:
            self.ready(seconds)
            reply = self.process.ask({"texts": question.texts, "columns": question.columns}, seconds)
        except TooLate:
            raise Trouble(
                "E808", f"did not answer within {self.timeout:g} s", "its process was killed"
            ) from None
        except Gone as gone:
            raise Trouble("E807", f"ended its process ({gone})") from None
        if failure := reply.get("failure"):
            raise Trouble("E807", failure["what"], f"at {failure['place']}" if failure["place"] else None)
        if reason := reply.get("unusable"):
            raise Trouble("E809", f"returned {reason}")
        return (probabilities if self.bounded else scores_of)(reply["scores"], len(question))

    def ready(self, seconds: float) -> None:
        """See to it that the process runs. Failure E612 where the function cannot be loaded."""
        try:
            word = self.process.start(seconds)
            trouble = word.get("failure")
        except TooLate:
            trouble = {"what": "its module takes too long to import", "place": ""}
        except Gone as gone:
            trouble = {"what": f"its module ended the process ({gone})", "place": ""}
        if trouble:
            self.process.kill()
            why = f"{trouble['what']}{' at ' + trouble['place'] if trouble['place'] else ''}"
            raise Failure("E612", f"{self.title} cannot be loaded", why=why)

    def blamed(self, question: Question, trouble: Trouble) -> Failure:
        """Name the sample behind a trouble: entries are asked one by one, for as long as one call may take."""
        if trouble.index is not None:
            return self.failure(trouble, question, trouble.index)
        if len(question) == 1:
            return self.failure(trouble, question, 0)
        for index, again in self.alone(question):
            if again is not None:
                return self.failure(again, question, index)
        return self.failure(trouble, question, None)

    def alone(self, question: Question) -> Iterator[tuple[int, Trouble | None]]:
        """Ask for each entry alone, up to the first trouble. One that ran out of our time has not failed yet."""
        until = time.monotonic() + self.timeout
        for index in range(len(question)):
            began = time.monotonic()
            if began >= until:
                return
            try:
                self.once(question.one(index), until - began)
            except Trouble as trouble:
                late = trouble.code == "E808" and time.monotonic() - began < self.timeout / 2
                yield index, None if late else trouble
                return
            yield index, None

    def failure(self, trouble: Trouble, question: Question, index: int | None) -> Failure:
        """Make the diagnostic, with the sample's name and the beginning of its text."""
        where = question.range if index is None else question.labels[index]
        text = None if index is None else question.shown[index]
        why = "; ".join(part for part in (trouble.why, text) if part)
        return Failure(trouble.code, f"{self.title} {trouble.what} ({where})", why=why or None)

    def close(self) -> None:
        """End the process."""
        self.process.close()


class FunctionReward(Function):
    """A function of a prompt and a completion."""

    def __init__(self, name: str, timeout: float) -> None:
        super().__init__(name, timeout, "reward", bounded=False)

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score samples."""
        return self.ask(about(samples))


class FunctionOfPairs(Function):
    """A function of a prompt and two completions: the probability that the first is better."""

    def __init__(self, name: str, timeout: float, *, both_orders: bool = False) -> None:
        super().__init__(name, timeout, "oracle", bounded=True)
        self.both_orders = both_orders

    def __call__(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[float]:
        """Compare pairs, in the order given or in both."""
        answer = self.ask(about_pairs(pairs))
        if not self.both_orders:
            return answer
        turned = self.ask(about_pairs([(b, a) for a, b in pairs]))
        return [(p + 1 - q) / 2 for p, q in zip(answer, turned, strict=True)]


class Expression(Function):
    """A regular expression, 1 where it is found: one that backtracks without end cannot be stopped but by a kill."""

    def __init__(self, pattern: str, timeout: float = SEARCHING) -> None:
        super().__init__("regex", timeout, "verifier", bounded=True)
        self.pattern, self.title = pattern, f"the regular expression `{pattern}`"

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Look for the expression in samples. Failure E808 where it takes longer than the timeout."""
        texts = {"completions": [sample.completion for sample in samples]}
        asked = replace(about(samples), texts=texts, columns={"patterns": [self.pattern] * len(samples)})
        return self.ask(asked)


def unloadable(name: str, role: str, timeout: float, variables: Mapping[str, str]) -> Failure | None:
    """Load a function as a job would, in a process of its own, and say what stands in the way (E612)."""
    function = Function(name, timeout, role, bounded=False, variables=variables)
    try:
        function.ready(timeout)
    except Failure as failure:
        return failure
    finally:
        function.close()
    return None
