"""Tools of the black-box tests: a model database, a verifiable workload, processes to kill and files to damage."""
