"""auDeep's files: CSV and ARFF in folders for partitions and folds, and netCDF data sets."""
