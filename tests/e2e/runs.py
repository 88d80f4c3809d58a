"""A model to train and to torment, for the tests of training runs."""

MODEL = """
import asyncio, multiprocessing, os, signal, subprocess, sys, time


def wait_for_ever():
    while True:
        time.sleep(0.05)


def train(what="nothing", content=None, code=None, number=None, path=None, result=None, password=None):
    given = {name: value for name, value in locals().items() if name != "what" and value is not None}
    print("training:", what, flush=True)
    return globals()["do_" + what](**given) if "do_" + what in globals() else {"what": what, **given}


def do_save(content):
    from pathlib import Path
    (Path(os.environ["DEEPAAS_CORE_MODEL_DIR"]) / "weights.txt").write_text(content)
    return {"saved": content, "loss": float("nan")}


def do_report():
    from deepaas_core import run
    run.report(epoch=1, loss=float("nan"))
    run.progress(1, 10)
    (run.model_dir() / "plot.txt").write_text("plot")
    run.artifact(run.model_dir() / "plot.txt")
    return run.cancelled()


def do_raise():
    raise ValueError("no such luck")


def do_unimplemented():
    raise NotImplementedError("not for this one")


def do_exit(code):
    sys.exit(code)


def do_hard_exit(code):
    os._exit(code)


def do_signal(number):
    os.kill(os.getpid(), number)
    wait_for_ever()


def do_unencodable():
    return {"model": [1, object()]}


async def _later():
    await asyncio.sleep(0)
    return "later"


def do_later():
    return _later()


def do_wait():
    wait_for_ever()


def do_wait_for(path, result=None):
    while not os.path.exists(path):
        time.sleep(0.01)
    return result


def do_tidy(path):
    try:
        wait_for_ever()
    finally:
        open(path, "w").close()


def do_polite(path):
    from deepaas_core import run
    while not run.cancelled():
        print("asked", flush=True)
        time.sleep(0.05)
    open(path, "w").close()


def do_stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    multiprocessing.get_context("fork").Process(target=wait_for_ever).start()
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            print("settled", flush=True)
            wait_for_ever()
        os._exit(0)
    wait_for_ever()


def do_leave_behind():
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(sleeper, start_new_session=True, env={}).pid


def do_end_a_fork():
    child = multiprocessing.get_context("fork").Process(target=wait_for_ever)
    child.start()
    child.terminate()
    child.join()
    return child.exitcode


def do_fork_and_return():
    return "child" if os.fork() == 0 else (time.sleep(0.2), "parent")[1]
"""
