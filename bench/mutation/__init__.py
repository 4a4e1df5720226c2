"""Mutation testing of what kvwatch computes: small faults are put into the code, and tests must fail of them.

``mutants``       all faults of a source file: constants ×½, ×2 and 0, comparisons, dropped terms, early returns
``sample``        which of them are tried: drawn by hash, so that the draw outlives edits elsewhere; some always
``reach``         which test files execute which lines, and what each file costs
``trial``         one fault in a forked process against the test files that reach it, the quickest first
``survivors``     the faults that no test finds, and why each does not matter
``report``        the results as a page and as JSON

Own code, although there are libraries, for what they cannot do at the price of two cores. mutmut 3 mutates function
bodies through trampolines, so the constants of a module, which are half of what can be wrong here, keep their value.
cosmic-ray would take the operators as plugins, but starts an interpreter and a whole test run for each mutant, in the
working tree: five seconds before the first test, times 200. Here a mutant costs a fork of a process that has imported
numpy, scipy and pytest, and the tests that reach its line: a second in the median.
"""
