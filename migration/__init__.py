"""Duplicates routes that only the legacy scheme has into the hashed scheme, while both are served.

    tables ─ invert ─▶ hosts ─ collect ─▶ runs, by route key ─ write ─▶ routes
              pure               on disk                    compare-and-set, a transaction a batch

`invert` says which hosts a routing table was made for. `collect` hashes them and gathers what is to be written in
`runs` on disk: a store takes rows in key order many times faster than scattered ones, and at the same cost for each
whether there are a million or fourteen. `write` puts what isn't there; a site that changed meanwhile is left to
`revisit`, which reads its table in the transaction that writes, or a large one in batches. `progress` is what of all
that is done, kept in the very transactions that do it. `throttle`, `guard` and `pacing` set the pace; `job` strings
the parts together as a workflow. `claims` are hosts that a table names and its site doesn't own, `refused` are rows
that lead nowhere. `verify` compares the schemes, `rollout` raises the share of sites that the new one serves, `cleanup`
drops tables that nobody needs.
The room knows the router and nothing above.
"""
