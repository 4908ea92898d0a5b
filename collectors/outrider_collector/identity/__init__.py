"""AWS identity: who signed the question to STS that came with an enrolment.

`endpoints` says what an STS is here, `proof` checks the signed question without asking anybody, `sts` asks it, `caller`
reads who the answer names, and `aws` puts them together. Nothing but STS is ever asked, whatever a sender wrote.
"""
