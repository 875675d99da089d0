"""`python -m unittest discover tests`, with FAR_LIBRARY naming libfar.so and FAR_TEST_MODEL an artifact.

With FAR_TEST_KEY, the 32 bytes of a public key in a file, the artifact must be signed by it in the file beside it.
With FAR_TEST_IMAGES and FAR_TEST_LOGITS (.npy) the answers are compared with a reference's; for the model in
`examples/models/far-fashion` those are its images.npy and far-pruned-dense.logits.npy.
"""

import os
import threading
import unittest
from pathlib import Path

import numpy as np

import far

PATH = os.environ["FAR_TEST_MODEL"]


def zeros(model):
    return [np.zeros(port.shape, port.dtype) for port in model.inputs]


class Tests(unittest.TestCase):
    def setUp(self):
        self.model = far.Model(PATH)

    def test_ports_and_metadata(self):
        self.assertTrue(self.model.inputs and self.model.outputs)
        self.assertEqual(self.model.inputs[0].dtype, np.float32)
        self.assertEqual(len(self.model.labels), self.model.outputs[0].shape[-1])
        self.assertTrue(self.model.description and self.model.info)
        image = self.model.image
        pixels = np.full((image.height, image.width, 3), 255, np.uint8)
        self.assertEqual(image.prepare(pixels).shape, self.model.inputs[0].shape)

    def test_runs_give_the_same_bits_from_file_and_memory_and_any_threads(self):
        inputs = [np.random.default_rng(7).normal(size=port.shape).astype(port.dtype) for port in self.model.inputs]
        expected = self.model.session(threads=1).run(*inputs)
        other = far.Model(Path(PATH).read_bytes()).session(threads=2).run(*inputs)
        for name, array in expected.items():
            self.assertEqual(array.tobytes(), other[name].tobytes())

    def test_transposed_inputs_are_taken(self):
        port = self.model.inputs[0]
        values = np.random.default_rng(7).normal(size=port.shape[::-1]).T
        session = self.model.session(threads=1)
        first = session.run(values)
        again = session.run(**{port.name: np.ascontiguousarray(values, np.float32)})
        for name, array in first.items():
            self.assertEqual(array.tobytes(), again[name].tobytes())

    def test_what_is_wrong_is_told(self):
        with self.assertRaises(far.FarError) as caught:
            far.Model("nothing.far")
        self.assertEqual(caught.exception.status, 200)
        with self.assertRaises(far.FarError):
            far.Model(b"thesis")
        session = self.model.session(threads=1)
        with self.assertRaises(ValueError):
            session.run()
        with self.assertRaises(TypeError):
            session.run(np.zeros(self.model.inputs[0].shape, complex))
        with self.assertRaises(far.FarError) as caught:
            session.run(np.zeros((9,) * len(self.model.inputs[0].shape), np.float32))
        self.assertIn(caught.exception.status, (108, 109))

    @unittest.skipUnless("FAR_TEST_KEY" in os.environ, "no key")
    def test_signatures_are_demanded(self):
        key = Path(os.environ["FAR_TEST_KEY"]).read_bytes()
        self.assertEqual(far.Model(PATH, key=key).name, self.model.name)
        artifact, signature = Path(PATH).read_bytes(), Path(PATH + ".sig").read_bytes()
        self.assertEqual(far.Model(artifact, key=key, signature=signature).name, self.model.name)
        altered = artifact[:-1] + bytes([artifact[-1] ^ 1])
        nobodys = bytes([0x58] + [0x66] * 31)
        for status, arguments in (
            (700, (artifact, key, None)),
            (701, (artifact, key, signature[:-1])),
            (702, (artifact, nobodys, signature)),
            (703, (altered, key, signature)),
            (103, (artifact, bytes(32), signature)),
            (103, (artifact, None, signature)),
        ):
            with self.assertRaises(far.FarError) as caught:
                far.Model(arguments[0], key=arguments[1], signature=arguments[2])
            self.assertEqual(caught.exception.status, status)
        with self.assertRaises(ValueError):
            far.Model(artifact, key=key[:-1])

    def test_threads_have_sessions_of_their_own(self):
        inputs = zeros(self.model)
        expected = self.model.session(threads=1).run(*inputs)
        found = []

        def work():
            session = self.model.session(threads=1)
            found.extend(session.run(*inputs) for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(found), 80)
        for outputs in found:
            for name, array in expected.items():
                self.assertEqual(array.tobytes(), outputs[name].tobytes())

    @unittest.skipUnless("FAR_TEST_LOGITS" in os.environ, "no reference")
    def test_answers_are_the_references(self):
        images = np.load(os.environ["FAR_TEST_IMAGES"])
        logits = np.load(os.environ["FAR_TEST_LOGITS"])
        session = self.model.session(threads=1)
        found = np.concatenate([session.run(image[None])[self.model.outputs[0].name] for image in images])
        self.assertLess(np.abs(found - logits).max(), 1e-4 * np.ptp(logits))


if __name__ == "__main__":
    unittest.main()
