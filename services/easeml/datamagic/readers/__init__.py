"""Readers of files that other programs wrote, one module per family of formats.

Every reader has ``chunks(source, options, report, rows)``: frames of at most ``rows`` rows whose index says where each
row stands in the file, so that whatever is wrong later can be named as people find it. Readers parse; what a value
means (missing tokens, dates, currencies) is the schema's to say.
"""
