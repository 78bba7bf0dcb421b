//! What checks a build against reference numbers: case files and tolerances.
