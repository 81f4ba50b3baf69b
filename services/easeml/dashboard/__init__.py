"""The dashboard: what happens to every app, live in a browser, and the place where people answer.

Events in: every topic that tells something (rows and predictions are not followed), from the beginning, without a
group. Events out: none of its own; answers go through the gRPC label service, redriven dead letters through
``stream.deadletters``. It folds events into one small state per app (``views``, ``house``) and tells browsers which
part of which app has changed; they ask for that part again, so the last state is never lost, however many events a
second there are. It has no changelog: after a restart it reads the topics once more, and is ready when it has reached
their end. It fails as a whole, and is started again, when the broker refuses to be read.
"""
