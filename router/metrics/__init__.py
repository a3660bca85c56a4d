"""What Onehop counts of itself: told by /metrics, and read by whoever guards a rollout.

    catalogue   every metric: its name, meaning, labels, and the cells that it lies in
    meter       the edge's and the listener's counting, as the request path calls it
    slot        a process's cells, in a file that outlives it
    reading     all processes' cells together: totals, quantiles, differences
    families    a reading as Prometheus sees it

A count is one addition in mapped memory: no lock, no system call, and nothing is lost when the process is killed.
docs/decisions/0007-metrics-in-mapped-cells.md says why not otherwise.
"""
