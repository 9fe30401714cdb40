"""Load on a service: a plan of arrivals goes in, every request comes out with its intended start, none left out.

Why our own: of the tools that pip installs, locust (its ``poisson`` wait too) and molotov have closed users, who wait
for a slow answer before they ask again; k6, vegeta, artillery, wrk2, oha and hey are programs for Node, Go, C or Rust,
and k6, the only one of them with open arrivals and scripts, spaces them evenly and drops what it has no users for.
What is needed here is a few dozen lines on aiohttp, the cheapest client we have already.
"""
