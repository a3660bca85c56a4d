"""Durable execution: steps, retries, sleeps, events, on SQLite."""
