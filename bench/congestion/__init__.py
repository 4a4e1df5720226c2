"""How far the theory of service-induced congestion and the recommended cap hold: embedded engines and a real vLLM."""
