//! Convolutions that train as several and fold into one.
