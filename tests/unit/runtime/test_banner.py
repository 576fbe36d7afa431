from airnode.runtime.main import banner


def test_a_master_prints_how_slaves_join():
    text = banner({"class_code": "ABCDEF", "join_command": "airnode --role slave --master-url http://m:8000"}, "/data")
    assert "  Join slaves  airnode --role slave --master-url http://m:8000\n" in text
    assert "Join slaves" not in banner({"class_code": "ABCDEF"}, "/data")
