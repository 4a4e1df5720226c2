"""kvwatch against a real vLLM on this CPU: the rig (model, server, load) and the tests that use it."""
