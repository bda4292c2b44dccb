"""Lets VectorDBBench (2.0.0 was tried) measure vecdb.

Copy this folder to `vectordb_bench/backend/clients/vecdb` of their repository, install vecdb beside it, and make it
known there in two places. In `clients/__init__.py`, the enumeration `DB` gets `VecDB = "VecDB"`, whose `init_cls`,
`config_cls` and `case_config_cls` return `VecDB` of `.vecdb.vecdb`, `VecDBConfig` and `VecDBCaseConfig` of
`.vecdb.config`. `cli/vectordbbench.py` imports `VecDB` of `..backend.clients.vecdb.cli`. Then:

    vectordbbench vecdb --path DIR --case-type Performance768D1M --m 16 --ef-construction 200 --target-recall 0.98
"""
