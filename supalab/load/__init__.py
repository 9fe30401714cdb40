"""Load on a service: a plan of arrivals goes in, every request comes out with its intended start, none left out.

Why our own: of the tools that pip installs, locust (its ``poisson`` wait too) and molotov have closed users, who wait
for a slow answer before they ask again. k6, artillery, vegeta, wrk2, oha and hey come with other runtimes or as
programs that pip does not bring: k6's open arrivals are evenly spaced and dropped when users run out, artillery's
Poisson arrivals have no seed. What is needed here is a few dozen lines on the transport of our own client.
"""
