"""Label service: questions to people out, their answers in.

In: questions (what a service wants to know), annotations (what an annotator said), rows to show beside questions.
Out: answers (the only thing that collapses a variable), budgets, audit; ``LabelService`` over gRPC for people.
Method: questions by expected information gain per cost; decided by one annotator or several (Dawid and Skene).
Guarantee: an answer is acknowledged only after the broker has it; it counts and is paid once, however often sent.
Failure: bad questions and annotations are dead-lettered; without the broker callers get UNAVAILABLE and try again.
"""
