"""Tests of what peer_bench.py makes of the results of runs."""

import unittest

import peer_bench


def result(ms, first, memory=2**30, parameters=7):
    return {"ms_per_step": ms, "images_per_second": 1e3 / ms, "peak_rss_bytes": memory,
            "first_step_done_s": first, "parameters": parameters}


class PeerBench(unittest.TestCase):
    def test_table_has_medians_the_largest_memory_and_ratios_to_each_peer(self):
        runs = {"ours": [result(10, 1), result(30, 2, 2**29), result(20, 4)],
                "eager": [result(40, 9), result(40, 8), result(50, 8)],
                "compiled": [result(25, 60, 2**31), result(25, 5, 2**31), result(25, 7, 2**31)]}
        self.assertEqual(peer_bench.table(64, runs), [
            "   64  ours                         50.0       20.0       1.00      1.00      3.00",
            "   64  eager                        25.0       40.0       1.00      9.00      8.00",
            "   64  compiled                     40.0       25.0       2.00     60.00      6.00",
            "       ours / eager: time 0.50, images/s 2.00, memory 1.00",
            "       ours / compiled: time 0.80, images/s 1.25, memory 0.50"])

    def test_one_run_has_no_time_again(self):
        line = peer_bench.table(1, {"ours": [result(10, 1)]})[0]
        self.assertTrue(line.endswith("      1.00         -"), line)

    def test_programs_take_turns(self):
        order = []
        programs = {name: lambda name=name: order.append(name) for name in "abc"}
        peer_bench.measure_in_turns(programs, 2)
        self.assertEqual("".join(order), "abcabc")

    def test_nets_that_differ_are_refused(self):
        peer_bench.check_same_net({"ours": [result(1, 1)], "theirs": [result(1, 1)]})
        with self.assertRaises(SystemExit) as stopped:
            peer_bench.check_same_net({"ours": [result(1, 1)],
                                       "theirs": [result(1, 1, parameters=8)]})
        self.assertEqual(str(stopped.exception), "the nets differ in parameters: ours 7, theirs 8")

    def test_every_pipeline_of_the_tree_has_a_batch_size(self):
        pipelines = {path.stem for path in peer_bench.ROOT.glob("graphs/pipelines/*.yaml")}
        self.assertEqual(pipelines, set(peer_bench.BATCHES))


if __name__ == "__main__":
    unittest.main()
