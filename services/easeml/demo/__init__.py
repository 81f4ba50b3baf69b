"""The demo: one real data set through the whole loop, with a drift on the way.

It uses the public doors only: topics through the SDK, answers through the gRPC label service, predictions through
the predict service. It ends with success when the loop has really closed, and says which link failed when not.
"""
