package stripesim_test

const childDataFile = "STRIPESIM_TEST_CHILD"

func child(string) int { return 0 }
